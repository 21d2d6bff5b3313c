"""The house on Kubernetes: manifests, made from the deployment, the store's index and the gateway's own writers."""
