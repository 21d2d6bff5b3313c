"""Marina on the person's side: build archives, say what should run, and talk to TorchServe over its APIs."""
