"""The gateway: Envoy in front of TorchServe, its files written from the deployment and read back."""
