"""Captum's methods on one image, each by the same arguments, each with the image's shape as its result's.

Sources:
    Sundararajan, Taly, Yan: Axiomatic Attribution for Deep Networks (2017). Simonyan, Vedaldi, Zisserman: Deep Inside
    Convolutional Networks (2013). Selvaraju and others: Grad-CAM (2017). Zeiler, Fergus: Visualizing and Understanding
    Convolutional Networks (2013). Lundberg, Lee: A Unified Approach to Interpreting Model Predictions (2017).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from captum.attr import FeatureAblation, IntegratedGradients, KernelShap, LayerAttribution, LayerGradCam, Occlusion, Saliency

from handlerkit.budget import affordable
from handlerkit.explainer import GRADIENTS, Explainer, ExplainOptions
from handlerkit.runtimes import Runtime

AT_ONCE = 10
ONE_STEP = ("saliency", "grad_cam")


def attribute(explainer: Explainer, images: torch.Tensor, target: int, method: str) -> tuple[torch.Tensor, int, bool]:
    """Attributions of shape [1, channels or 1, height, width], the steps taken, and whether they were reduced to the budget.

    Args:
        explainer: of a network from images [rows, channels, height, width] to scores [rows, classes].
        images: one, shape [1, channels, height, width].
        target: index of the class.
        method: one of METHODS, which the runtime can do.
    """
    options = explainer.options
    wanted = 1 if method in ONE_STEP else options.steps
    once = _gradient if method in GRADIENTS else _score
    steps = 1 if wanted == 1 else affordable(lambda: once(explainer.runtime, images), wanted, options.budget_seconds)
    return METHODS[method](explainer, images, target, steps), steps, steps < wanted


def _score(runtime: Runtime, images: torch.Tensor) -> None:
    runtime.run(images)


def _gradient(runtime: Runtime, images: torch.Tensor) -> None:
    with torch.enable_grad():
        inputs = images.clone().requires_grad_()
        torch.autograd.grad(runtime(inputs).sum(), inputs)


def _integrated_gradients(explainer: Explainer, images: torch.Tensor, target: int, steps: int) -> torch.Tensor:
    with torch.enable_grad():
        made: torch.Tensor = IntegratedGradients(explainer.runtime).attribute(
            images, target=target, n_steps=steps, internal_batch_size=AT_ONCE
        )
    return made


def _saliency(explainer: Explainer, images: torch.Tensor, target: int, _steps: int) -> torch.Tensor:
    with torch.enable_grad():
        made: torch.Tensor = Saliency(explainer.runtime).attribute(images.clone().requires_grad_(), target=target)
    return made


def _grad_cam(explainer: Explainer, images: torch.Tensor, target: int, _steps: int) -> torch.Tensor:
    with torch.enable_grad():
        made = LayerGradCam(explainer.runtime, explainer.layer("grad_cam")).attribute(images, target=target)
    grown: torch.Tensor = LayerAttribution.interpolate(made, tuple(images.shape[2:]), "bilinear")
    return grown


def _occlusion(explainer: Explainer, images: torch.Tensor, target: int, steps: int) -> torch.Tensor:
    cells = _grid(explainer.options, steps)
    window = tuple(max(1, side // cells) for side in images.shape[2:])
    shape = (images.shape[1], *window)
    made: torch.Tensor = Occlusion(explainer.runtime.run).attribute(
        images, target=target, sliding_window_shapes=shape, strides=shape
    )
    return made / (window[0] * window[1] * images.shape[1])


def _feature_ablation(explainer: Explainer, images: torch.Tensor, target: int, steps: int) -> torch.Tensor:
    mask = _mask(images, _grid(explainer.options, steps))
    made: torch.Tensor = FeatureAblation(explainer.runtime.run).attribute(images, target=target, feature_mask=mask)
    return _shared(made, mask)


def _kernel_shap(explainer: Explainer, images: torch.Tensor, target: int, steps: int) -> torch.Tensor:
    cells = _grid(explainer.options, steps // 2 if steps < explainer.options.steps else steps)  # two samples a cell, or more
    mask = _mask(images, cells)
    torch.manual_seed(0)  # the same request, the same explanation
    made: torch.Tensor = KernelShap(explainer.runtime.run).attribute(
        images, target=target, feature_mask=mask, n_samples=max(steps, 2 * cells**2)
    )
    return _shared(made, mask)


Method = Callable[[Explainer, torch.Tensor, int, int], torch.Tensor]
METHODS: dict[str, Method] = {
    "integrated_gradients": _integrated_gradients,
    "saliency": _saliency,
    "grad_cam": _grad_cam,
    "occlusion": _occlusion,
    "feature_ablation": _feature_ablation,
    "kernel_shap": _kernel_shap,
}


def _grid(options: ExplainOptions, evaluations: int) -> int:
    """Cells a side: one evaluation each, so that their number fits what is affordable."""
    most = math.isqrt(evaluations) if evaluations < options.steps else options.cells
    return max(2, min(options.cells, most))


def _mask(images: torch.Tensor, cells: int) -> torch.Tensor:
    """Number of the cell that each pixel belongs to: shape [1, 1, height, width]."""
    rows, columns = (torch.arange(side) * min(cells, side) // side for side in images.shape[2:])
    return (rows[:, None] * min(cells, images.shape[3]) + columns[None, :])[None, None]


def _shared(attributions: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Divide what belongs to a whole cell among its pixels and channels."""
    sizes = torch.bincount(mask.flatten())[mask] * attributions.shape[1]
    return attributions / sizes
