"""Start TorchServe, talk to its APIs, and make it run what the deployment says."""
