"""What the house's processes take, in MiB of resident memory. docs/kubernetes.md says how each was measured."""

JAVA_MB = 450  # TorchServe without its workers, with serve_models.py
WORKER_MB = 1000  # a worker of which no build measured anything
EXPORTER_MB = 128
ENVOY_MB = 128
RECORDER_MB = 192
GROWTH = 1.25  # of a worker that answers against one that has just loaded; and from what is asked for to the limit
