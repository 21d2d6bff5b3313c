"""Classify an image."""

from __future__ import annotations

from typing import Any

import torch
from handlerkit import BadRequest, ModelHandler, Row
from handlerkit.images import ImageOptions, read_image
from handlerkit.options import read_options
from handlerkit.payload import binary


class ImageClassifier(ModelHandler):
    """Name what an image shows.

    Request   bytes of an image (PNG, JPEG, WebP, BMP, GIF), a form with a file, or JSON {"data": "<base64>"}
    Response  [{"label": "tabby", "probability": 0.87}, …], best first
    Explain   the same request, and "target": "<label>" where not the best class is meant;
              {"label": …, "probability": …, "method": …, "attributions": [[…], …], …}
    Options   handlerkit.images.ImageOptions
    """

    def initialize(self, context: Any) -> None:
        """Load the archive, and check its options."""
        super().initialize(context)
        self._image = read_options(ImageOptions, self.options)

    def preprocess_row(self, row: Row) -> torch.Tensor:
        """The image as float32, shape [channels, height, width]."""
        return read_image(binary(row), self._image)

    def postprocess_row(self, output: torch.Tensor, row: Row) -> list[dict[str, Any]]:
        """The best classes, at most ``top_k``; ``output`` holds one score before softmax for each class."""
        probabilities = output.float().softmax(dim=-1)
        best = probabilities.topk(min(self._image.top_k, len(probabilities)))
        return [self._class(index, value) for value, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)]

    def explain_row(self, tensor: torch.Tensor, row: Row) -> dict[str, Any]:
        """The best class, or the one the row names, and what each part of the image contributed to its score."""
        from handlerkit.explain import integrated_gradients  # Captum is not loaded before it is wanted

        probabilities = self.runtime.run(tensor.unsqueeze(0))[0].float().softmax(dim=-1)
        target = self._target(row, best=int(probabilities.argmax()))
        answer = self._class(target, float(probabilities[target]))
        return answer | integrated_gradients(self.runtime, tensor.to(self.device), target)

    def _class(self, index: int, probability: float) -> dict[str, Any]:
        return {"label": self._label(index), "probability": round(probability, 6)}

    def _label(self, index: int) -> str:
        return self.labels[index] if self.labels else str(index)

    def _target(self, row: Row, best: int) -> int:
        body = row.get("body")
        wanted = body.get("target") if isinstance(body, dict) else row.get("target")
        if wanted is None:
            return best
        name = wanted.decode() if isinstance(wanted, (bytes, bytearray)) else str(wanted)
        if name not in self.labels:
            some = ", ".join(self.labels[:10])
            raise BadRequest(f"No class is named '{name[:40]}'; the first classes are: {some}.")
        return self.labels.index(name)
