"""Why a network found a thing where it did: the box's score as a score to explain."""

from __future__ import annotations

from typing import Any

import torch

from handlerkit.detections import Detection, overlaps
from handlerkit.runtimes import Runtime


class DetectionScore:
    """A network of one class: how surely what was found is still found, in about the same place, in another image.

    Of the candidates of the detection's class the score counts as much as their box overlaps the detection's, and the best
    one stands for the image (Petsiuk et al.: Black-box Explanation of Object Detectors via Saliency Maps, 2021). So it is
    the detection's own probability for the image itself, and 0 where it is gone.
    """

    differentiable = False  # a box that falls out of the list has no gradient

    def __init__(self, runtime: Runtime, detection: Detection) -> None:
        """Take the network, and what it found."""
        self.model = runtime.model
        self._runtime = runtime
        self._index = detection.index
        self._box = torch.tensor([detection.seen])

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Scores [rows, 1] for images [rows, channels, height, width]."""
        rows = [self._score(*(one.cpu() for one in row)) for row in zip(*self._runtime.run(*inputs), strict=True)]
        return torch.stack(rows).unsqueeze(1)

    def run(self, *inputs: torch.Tensor) -> Any:
        """See ``Runtime``."""
        return self(*inputs)

    def _score(self, boxes: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return (overlaps(self._box, boxes)[0] * scores * (labels == self._index)).amax()
