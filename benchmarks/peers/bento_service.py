"""BentoML, as its guides have it: a service with adaptive batching, and as many workers as are asked for.

https://docs.bentoml.com/en/latest/get-started/adaptive-batching.html, https://docs.bentoml.com/en/latest/build-with-bentoml/parallelize-requests.html
"""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor

import bentoml

from peers.classifier import Answer, Classifier, number


@bentoml.service(workers=number("WORKERS"), traffic={"timeout": 60})
class ImageClassifier:
    """{"images": ["<base64>"]} to the best classes of each."""

    def __init__(self) -> None:
        self.classifier = Classifier()
        self.pool = ThreadPoolExecutor()

    @bentoml.api(batchable=True, max_batch_size=number("BATCH"), max_latency_ms=10_000)
    def predict(self, images: list[str]) -> list[Answer]:
        """Several callers' pictures in one list."""
        return self.classifier.classify(list(self.pool.map(self.classifier.prepare, map(base64.b64decode, images))))
