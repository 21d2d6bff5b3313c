"""Why a network gave a class its score: attributions of an image. Imported with the first explanation.

Where the runtime is differentiable, gradients; where it is not, perturbations: the same request works on every archive.
Every method ends in a map of cells, the strongest regions, and a number that says how far to trust it.
"""

from __future__ import annotations

from typing import Any

import torch

from handlerkit.attribution import attribute
from handlerkit.explainer import Explainer
from handlerkit.runtimes import Runtime
from handlerkit.trust import DELETED, completeness_gap, fidelity

LARGEST_MAP = 32
REGIONS = 5


def explain(explainer: Explainer, image: torch.Tensor, target: int, method: object) -> dict[str, Any]:
    """Attribute the score of one class to the parts of an image, against a baseline of zeros.

    Args:
        explainer: of a network from images [rows, channels, height, width] to scores before softmax [rows, classes].
        image: float32, shape [channels, height, width], as the network takes it.
        target: index of the class.
        method: that the request asks for, if any.

    Returns:
        ``method``; ``attributions``, a map of at most 32 x 32 cells (each the sum of its pixels and channels; positive
        speaks for the class); ``regions``, the strongest cells; ``steps`` and whether they were ``reduced`` to the
        budget; and ``completeness_gap`` for integrated gradients, else ``fidelity``, with the strongest tenth of the
        pixels deleted: see ``handlerkit.trust``.

    Raises:
        BadRequest: there is no such method, or the runtime cannot do it.
    """
    chosen = explainer.choose(method)
    made, steps, reduced = attribute(explainer, image.unsqueeze(0), target, chosen)
    attributions = made[0].detach().float().cpu()
    cells = _map(attributions)
    report = {"method": chosen, "steps": steps, "reduced": reduced, "regions": _regions(cells)}
    return report | _trust(explainer.runtime, image, attributions, target, chosen) | {"attributions": _rounded(cells)}


def _trust(runtime: Runtime, image: torch.Tensor, attributions: torch.Tensor, target: int, method: str) -> dict[str, float]:
    def score(one: torch.Tensor) -> float:
        return float(runtime.run(one.unsqueeze(0))[0, target])

    whole, baseline = score(image), score(torch.zeros_like(image))
    if method == "integrated_gradients":
        return completeness_gap(float(attributions.sum()), whole, baseline)
    strength = attributions.sum(0)
    strongest = strength.flatten().topk(max(1, round(strength.numel() * DELETED))).indices
    kept = torch.ones(strength.numel()).index_fill(0, strongest, 0).reshape(strength.shape)
    return fidelity(whole, score(image * kept.to(image.device)), baseline)


def _map(attributions: torch.Tensor) -> torch.Tensor:
    """Sum over channels and, where the image is large, over cells: shape [height, width], at most LARGEST_MAP each."""
    pixels = attributions.sum(dim=0, keepdim=True)
    height, width = (min(side, LARGEST_MAP) for side in pixels.shape[1:])
    means: torch.Tensor = torch.nn.functional.adaptive_avg_pool2d(pixels, (height, width))[0]
    return means * (pixels.shape[1] * pixels.shape[2] / (height * width))


def _regions(cells: torch.Tensor) -> list[dict[str, Any]]:
    """The strongest cells, as boxes [left, top, right, bottom] in shares of the network's input."""
    height, width = cells.shape
    strongest = cells.flatten().abs().topk(min(REGIONS, cells.numel())).indices.tolist()
    boxes = [(index // width, index % width) for index in strongest]
    return [
        {
            "box": [round(x / width, 4), round(y / height, 4), round((x + 1) / width, 4), round((y + 1) / height, 4)],
            "weight": float(f"{float(cells[y, x]):.4g}"),
        }
        for y, x in boxes
    ]


def _rounded(values: torch.Tensor) -> list[list[float]]:
    return [[float(f"{value:.4g}") for value in line] for line in values.tolist()]
