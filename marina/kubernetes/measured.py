"""What the house's processes take, in MiB of resident memory. docs/kubernetes.md says how each was measured."""

JAVA_MB = 341  # TorchServe's Java after 4,000 answers, 251, and serve_models.py, 90
WORKER_MB = 1000  # a worker of which no build measured anything: what one of TorchServe's own handlers takes
EXPORTER_MB = 64
ENVOY_MB = 72
RECORDER_MB = 88
PULL_MB = 80
GROWTH = 1.25  # of a worker that answers against one that has just loaded; and from what is asked for to the limit
