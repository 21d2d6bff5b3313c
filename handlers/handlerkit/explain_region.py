"""Why a network gave a region its class: what ``handlerkit.explain`` explains is then the region's mean score."""

from __future__ import annotations

import torch

from handlerkit.runtimes import Runtime


class RegionScores:
    """A ``Runtime`` around one that gives scores for each place: means over a region, shape [rows, classes]."""

    def __init__(self, runtime: Runtime, region: torch.Tensor) -> None:
        """Take ``region``, bool of shape [height, width] in the size of the network's output, not empty."""
        self.differentiable = runtime.differentiable
        self.model = runtime.model
        self._runtime = runtime
        self._region = region

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        """See ``Runtime``."""
        return self._means(self._runtime(*inputs))

    def run(self, *inputs: torch.Tensor) -> torch.Tensor:
        """See ``Runtime``."""
        return self._means(self._runtime.run(*inputs))

    def _means(self, scores: torch.Tensor) -> torch.Tensor:
        return scores[:, :, self._region.to(scores.device)].mean(2)
