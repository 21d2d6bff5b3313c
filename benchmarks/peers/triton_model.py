"""Triton's Python backend, as its documentation has it: dynamic batching, and an instance group.

https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/python_backend/README.html,
https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/batcher.html
"""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import triton_python_backend_utils as triton


class TritonPythonModel:
    """Pictures of shape [rows, 1] as bytes to JSON texts."""

    def initialize(self, _arguments: dict[str, str]) -> None:
        """Load the network, in each instance."""
        sys.path.insert(0, os.environ["PEERS"])
        from peers.classifier import Classifier

        self.classifier, self.pool = Classifier(), ThreadPoolExecutor()

    def execute(self, requests: list[Any]) -> list[Any]:
        """All requests that Triton has put together, in one batch of the network."""
        pictures = [triton.get_input_tensor_by_name(request, "image").as_numpy()[0, 0] for request in requests]
        answers = self.classifier.classify(list(self.pool.map(self.classifier.prepare, pictures)))
        return [
            triton.InferenceResponse([triton.Tensor("classes", np.array([[json.dumps(answer).encode()]], dtype=np.object_))])
            for answer in answers
        ]
