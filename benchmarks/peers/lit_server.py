"""LitServe, as its guides have it: a batch is decoded by a pool of threads, and workers share the machine.

https://lightning.ai/docs/litserve/speed-up-serving-by-200x, https://lightning.ai/docs/litserve/features/batching
"""

from __future__ import annotations

import base64
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import litserve
import torch

from peers.classifier import Answer, Classifier, number


class ImageClassifier(litserve.LitAPI):
    """{"image_data": "<base64>"} to the best classes."""

    def setup(self, device: str) -> None:
        """Load the network, in each worker."""
        self.classifier = Classifier()
        self.pool = ThreadPoolExecutor(os.cpu_count())

    def decode_request(self, request: dict[str, str]) -> bytes:
        """The picture's bytes; they become numbers together, in ``batch``."""
        return base64.b64decode(request["image_data"])

    def batch(self, inputs: list[bytes]) -> list[torch.Tensor]:
        """All pictures of a batch, decoded by several threads."""
        return list(self.pool.map(self.classifier.prepare, inputs))

    def predict(self, inputs: list[torch.Tensor]) -> list[Answer]:
        """One answer each."""
        return self.classifier.classify(inputs)

    def unbatch(self, output: list[Answer]) -> list[Answer]:
        """They are apart already."""
        return output

    def encode_response(self, output: Answer) -> dict[str, Any]:
        """As JSON."""
        return {"classes": output}


if __name__ == "__main__":
    api = ImageClassifier(max_batch_size=number("BATCH"), batch_timeout=0.01)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=number("WORKERS"))
    server.run(host="127.0.0.1", port=number("PORT"), generate_client_file=False, log_level="warning")
