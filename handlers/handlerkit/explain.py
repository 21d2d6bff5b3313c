"""Why a network answered as it did: Captum's attributions. Imported with the first explanation, not before."""

from __future__ import annotations

from typing import Any

import torch
from captum.attr import IntegratedGradients

from handlerkit.runtimes import Runtime

STEPS = 50
STEPS_AT_ONCE = 10
LARGEST_MAP = 32


def integrated_gradients(runtime: Runtime, image: torch.Tensor, target: int) -> dict[str, Any]:
    """Attribute the score of one class to the pixels of an image, against a baseline of zeros.

    Args:
        runtime: a differentiable one.
        image: float32, shape [channels, height, width], as the network takes it.
        target: index of the class whose score (before softmax) is attributed.

    Returns:
        ``attributions``, rows of numbers of at most 32 x 32 (each the sum of the pixels of its cell and of all
        channels; positive speaks for the class), ``method``, ``steps``, and ``convergence_delta``, how far their
        sum is from the difference of the scores: 0 were exact.

    Source:
        Sundararajan, Taly, Yan: Axiomatic Attribution for Deep Networks (2017).
    """
    with torch.enable_grad():
        attributions, delta = IntegratedGradients(runtime.model).attribute(
            image.unsqueeze(0),
            target=target,
            n_steps=STEPS,
            internal_batch_size=STEPS_AT_ONCE,
            return_convergence_delta=True,
        )
    return {
        "method": "integrated gradients",
        "steps": STEPS,
        "convergence_delta": round(float(delta), 6),
        "attributions": _rounded(_map(attributions[0].detach().cpu())),
    }


def _map(attributions: torch.Tensor) -> torch.Tensor:
    """Sum over channels and, where the image is large, over cells: shape [height, width], at most LARGEST_MAP each."""
    pixels = attributions.sum(dim=0, keepdim=True).to(torch.float32)
    height, width = (min(side, LARGEST_MAP) for side in pixels.shape[1:])
    means: torch.Tensor = torch.nn.functional.adaptive_avg_pool2d(pixels, (height, width))[0]
    return means * (pixels.shape[1] * pixels.shape[2] / (height * width))


def _rounded(values: torch.Tensor) -> list[list[float]]:
    return [[float(f"{value:.4g}") for value in line] for line in values.tolist()]
