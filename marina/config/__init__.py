"""Say what is wrong in TorchServe's configuration before TorchServe keeps silent about it."""
