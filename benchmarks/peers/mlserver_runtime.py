"""MLServer, as its guides have it: a custom runtime, adaptive batching, and parallel workers.

https://docs.seldon.ai/mlserver/user-guide/custom, https://docs.seldon.ai/mlserver/user-guide/adaptive-batching,
https://docs.seldon.ai/mlserver/user-guide/parallel-inference
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

from mlserver import MLModel
from mlserver.codecs import Base64Codec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse

from peers.classifier import Classifier


class ImageClassifier(MLModel):  # type: ignore[misc, unused-ignore]
    """An input of content type base64 to an output of JSON texts, by the Open Inference Protocol."""

    async def load(self) -> bool:
        """Load the network, in each worker."""
        self.classifier = Classifier()
        self.pool = ThreadPoolExecutor()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """One caller's picture, or those of several in one request."""
        contents = Base64Codec.decode_input(payload.inputs[0])
        answers = self.classifier.classify(list(self.pool.map(self.classifier.prepare, contents)))
        output = StringCodec.encode_output("classes", [json.dumps(answer) for answer in answers])
        return InferenceResponse(model_name=self.name, outputs=[output])
