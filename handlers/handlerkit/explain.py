"""Why a network gave a class its score: Captum's attributions of an image. Imported with the first explanation.

Where the runtime is differentiable, gradients; where it is not, perturbations: the same request works on every archive.
Every method ends in a map of cells, the strongest regions, and a number that says how far to trust it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from captum.attr import FeatureAblation, IntegratedGradients, KernelShap, Occlusion, Saliency

from handlerkit.errors import BadRequest
from handlerkit.explain_options import GRADIENTS, METHODS, PERTURBATIONS, ExplainOptions
from handlerkit.runtimes import Runtime

LARGEST_MAP = 32
REGIONS = 5
AT_ONCE = 10
DELETED = 0.1


def explain(runtime: Runtime, image: torch.Tensor, target: int, options: ExplainOptions, method: str | None) -> dict[str, Any]:
    """Attribute the score of one class to the parts of an image, against a baseline of zeros.

    Args:
        runtime: of a network from images [rows, channels, height, width] to scores before softmax [rows, classes].
        image: float32, shape [channels, height, width], as the network takes it.
        target: index of the class.
        options: of the archive.
        method: that the request asks for, if any.

    Returns:
        ``method``; ``attributions``, a map of at most 32 x 32 cells (each the sum of its pixels and channels; positive
        speaks for the class); ``regions``, the strongest cells; ``steps`` and whether they were ``reduced`` to the
        budget; and ``completeness_gap`` for integrated gradients (how far the attributions' sum is from the difference
        of scores, as a share of it: 0 were exact), else ``fidelity`` (how much of the class's score is gone when the
        strongest tenth of the pixels is deleted, as a share of its difference to the baseline).

    Raises:
        BadRequest: there is no such method, or it needs gradients that the runtime does not have.

    Sources:
        Sundararajan, Taly, Yan: Axiomatic Attribution for Deep Networks (2017). Simonyan, Vedaldi, Zisserman: Deep
        Inside Convolutional Networks (2013). Zeiler, Fergus: Visualizing and Understanding Convolutional Networks
        (2013). Lundberg, Lee: A Unified Approach to Interpreting Model Predictions (2017).
    """
    chosen = _method(runtime, method or options.method)
    steps = _affordable(runtime, image, chosen, options)
    attributions = _ATTRIBUTE[chosen](runtime, image.unsqueeze(0), target, steps, options)[0].detach().float().cpu()
    cells = _map(attributions)
    wanted = options.steps if chosen != "saliency" else 1
    report = {"method": chosen, "steps": steps, "reduced": steps < wanted, "regions": _regions(cells)}
    return report | _trust(runtime, image, attributions, target, chosen) | {"attributions": _rounded(cells)}


def _method(runtime: Runtime, wanted: str | None) -> str:
    if wanted is None:
        return "integrated_gradients" if runtime.differentiable else "occlusion"
    if wanted not in METHODS:
        raise BadRequest(f"No method is named '{wanted[:40]}'; methods: {', '.join(METHODS)}.")
    if wanted in GRADIENTS and not runtime.differentiable:
        raise BadRequest(f"'{wanted}' needs gradients, which this model's runtime has not; methods: {', '.join(PERTURBATIONS)}.")
    return wanted


def _affordable(runtime: Runtime, image: torch.Tensor, method: str, options: ExplainOptions) -> int:
    """As many steps as fit the budget, by the time that one takes; cells are not reduced below a grid of two."""
    if method == "saliency":
        return 1
    started = time.perf_counter()
    if method in GRADIENTS:
        _gradient(runtime, image.unsqueeze(0))
    else:
        runtime.run(image.unsqueeze(0))
    one = time.perf_counter() - started
    return max(2, min(options.steps, int(options.budget_seconds / max(one, 1e-6))))


def _gradient(runtime: Runtime, images: torch.Tensor) -> None:
    with torch.enable_grad():
        inputs = images.clone().requires_grad_()
        torch.autograd.grad(runtime(inputs).sum(), inputs)


def _integrated_gradients(runtime: Runtime, images: torch.Tensor, target: int, steps: int, _: ExplainOptions) -> torch.Tensor:
    with torch.enable_grad():
        made: torch.Tensor = IntegratedGradients(runtime).attribute(
            images, target=target, n_steps=steps, internal_batch_size=AT_ONCE
        )
    return made


def _saliency(runtime: Runtime, images: torch.Tensor, target: int, _steps: int, _: ExplainOptions) -> torch.Tensor:
    with torch.enable_grad():
        made: torch.Tensor = Saliency(runtime).attribute(images.clone().requires_grad_(), target=target)
    return made


def _occlusion(runtime: Runtime, images: torch.Tensor, target: int, steps: int, options: ExplainOptions) -> torch.Tensor:
    cells = _grid(options, steps)
    window = tuple(max(1, side // cells) for side in images.shape[2:])
    shape = (images.shape[1], *window)
    made: torch.Tensor = Occlusion(runtime.run).attribute(images, target=target, sliding_window_shapes=shape, strides=shape)
    return made / (window[0] * window[1] * images.shape[1])


def _feature_ablation(runtime: Runtime, images: torch.Tensor, target: int, steps: int, options: ExplainOptions) -> torch.Tensor:
    mask = _mask(images, _grid(options, steps))
    made: torch.Tensor = FeatureAblation(runtime.run).attribute(images, target=target, feature_mask=mask)
    return _shared(made, mask)


def _kernel_shap(runtime: Runtime, images: torch.Tensor, target: int, steps: int, options: ExplainOptions) -> torch.Tensor:
    mask = _mask(images, options.cells)
    torch.manual_seed(0)  # the same request, the same explanation
    made: torch.Tensor = KernelShap(runtime.run).attribute(
        images, target=target, feature_mask=mask, n_samples=max(steps, 2 * options.cells**2)
    )
    return _shared(made, mask)


Attribute = Callable[[Runtime, torch.Tensor, int, int, ExplainOptions], torch.Tensor]
_ATTRIBUTE: dict[str, Attribute] = {
    "integrated_gradients": _integrated_gradients,
    "saliency": _saliency,
    "occlusion": _occlusion,
    "feature_ablation": _feature_ablation,
    "kernel_shap": _kernel_shap,
}


def _grid(options: ExplainOptions, evaluations: int) -> int:
    """Cells a side: one evaluation each, so that their number fits what is affordable."""
    most = int(evaluations**0.5) if evaluations < options.steps else options.cells
    return max(2, min(options.cells, most))


def _mask(images: torch.Tensor, cells: int) -> torch.Tensor:
    """Number of the cell that each pixel belongs to: shape [1, 1, height, width]."""
    rows, columns = (torch.arange(side) * min(cells, side) // side for side in images.shape[2:])
    return (rows[:, None] * min(cells, images.shape[3]) + columns[None, :])[None, None]


def _shared(attributions: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Divide what belongs to a whole cell among its pixels and channels."""
    sizes = torch.bincount(mask.flatten())[mask] * attributions.shape[1]
    return attributions / sizes


def _trust(runtime: Runtime, image: torch.Tensor, attributions: torch.Tensor, target: int, method: str) -> dict[str, float]:
    score, baseline = (float(runtime.run(one.unsqueeze(0))[0, target]) for one in (image, torch.zeros_like(image)))
    difference = score - baseline
    scale = abs(difference) if abs(difference) > 1e-6 else 1.0
    if method == "integrated_gradients":
        return {"completeness_gap": round(abs(float(attributions.sum()) - difference) / scale, 6)}
    strength = attributions.sum(0)
    strongest = strength.flatten().topk(max(1, round(strength.numel() * DELETED))).indices
    kept = torch.ones(strength.numel()).index_fill(0, strongest, 0).reshape(strength.shape)
    deleted = image * kept.to(image.device)
    return {"fidelity": round((score - float(runtime.run(deleted.unsqueeze(0))[0, target])) / scale, 6)}


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
