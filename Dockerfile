# The image that docker-compose.yml builds archives and serves them with. Java comes from PyPI, like everything else.
FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /marina

# TorchServe ends a worker by the program `kill`, which the slim image lacks; without it nothing can be unregistered.
RUN apt-get update && apt-get install --yes --no-install-recommends procps && rm -rf /var/lib/apt/lists/*

# What changes seldom comes first: the requirements are 5 GB, of which 4 are for GPUs. With an index of torch's builds for CPUs,
#     --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu
# torch and torchvision come from there, unchecked (their hashes are others), and what only GPUs need is left out.
ARG TORCH_INDEX=
COPY requirements/serve.txt requirements/
RUN if [ -z "$TORCH_INDEX" ]; then pip install --require-hashes -r requirements/serve.txt; else \
      awk '/^[a-z]/ { kept = !/^((torch|torchvision|triton)==|(nvidia|cuda)-)/ } kept' requirements/serve.txt > /tmp/rest.txt \
      && pip install --no-deps --index-url "$TORCH_INDEX" $(grep -oE '^(torch|torchvision)==[^ ;]+' requirements/serve.txt) \
      && pip install --no-deps --require-hashes -r /tmp/rest.txt && rm /tmp/rest.txt; fi

COPY pyproject.toml README.md ./
COPY config config
COPY handlers handlers
COPY marina marina
COPY model_store/specs model_store/specs
COPY scripts scripts
RUN pip install --no-deps --no-build-isolation --editable . \
    && useradd --uid 1000 --create-home marina \
    && install --directory --owner marina --mode 700 /store /state /state/gateway /state/traffic /state/rollouts

USER marina
CMD ["python", "scripts/serve_models.py", "--restarts", "0"]
