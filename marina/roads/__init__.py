"""Other roads to production from the same archives: a development server, and batches of many inputs."""
