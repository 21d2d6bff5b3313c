"""Why a network gave a row its score: Captum's attributions of single values. Imported with the first explanation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from captum.attr import FeatureAblation, IntegratedGradients

from handlerkit.budget import affordable
from handlerkit.errors import BadRequest
from handlerkit.explainer import Explainer
from handlerkit.runtimes import Runtime
from handlerkit.tensors import TensorOptions, name_outputs

AT_ONCE = 32
MOST = 1024
Tensors = tuple[torch.Tensor, ...]


def explain_features(explainer: Explainer, row: Tensors, target: int, options: TensorOptions, method: object) -> dict[str, Any]:
    """Attribute one score of a row to the values of its inputs, against the options' baselines.

    Args:
        explainer: of a network with one output of shape [rows, scores].
        row: its inputs, each without the batch's dimension.
        target: index of the score.
        options: of the archive's inputs.
        method: that the request asks for, if any.

    Returns:
        ``method`` (unless asked integrated gradients, or feature ablation where there are no gradients: the runtime has
        none, or an input is of whole numbers); ``steps`` and whether they were ``reduced`` to the budget (of ablation,
        which then replaces neighbours together); ``attributions``, a number by the name of each value, the strongest first.

    Raises:
        BadRequest: there is no such method, the runtime cannot do it, or the row has too many values.

    Sources:
        Sundararajan, Taly, Yan: Axiomatic Attribution for Deep Networks (2017).
    """
    names = options.feature_names()
    if len(names) > MOST:
        raise BadRequest(f"This model has no explanations: its input has {len(names)} values; explained are at most {MOST}.")
    inputs = tuple(one.unsqueeze(0) for one in row)
    baselines = tuple(one.baseline_tensor().unsqueeze(0) for one in options.inputs.values())
    explainer, runtime = _fitting(explainer, inputs), explainer.runtime
    chosen = explainer.choose(method)
    wanted = explainer.options.steps if chosen == "integrated_gradients" else len(names)
    steps = affordable(lambda: runtime.run(*inputs), wanted, explainer.options.budget_seconds)
    made = _ATTRIBUTE[chosen](runtime, inputs, baselines, target, steps)
    values = torch.cat([one.detach().float().flatten() for one in made]).tolist()
    strongest = sorted(zip(names, values, strict=True), key=lambda pair: -abs(pair[1]))
    return {
        "method": chosen,
        "steps": steps,
        "reduced": steps < wanted,
        "attributions": {name: float(f"{value:.6g}") for name, value in strongest},
    }


def _fitting(explainer: Explainer, inputs: Tensors) -> Explainer:
    """Whole numbers have no gradients."""
    return explainer if all(one.is_floating_point() for one in inputs) else replace(explainer, methods=("feature_ablation",))


def _integrated_gradients(runtime: Runtime, inputs: Tensors, baselines: Tensors, target: int, steps: int) -> Tensors:
    with torch.enable_grad():
        made: Tensors = IntegratedGradients(_scores_of(runtime)).attribute(
            inputs, baselines, target=target, n_steps=steps, internal_batch_size=AT_ONCE
        )
    return made


def _feature_ablation(runtime: Runtime, inputs: Tensors, baselines: Tensors, target: int, groups: int) -> Tensors:
    masks = _masks(inputs, groups)
    made: Tensors = FeatureAblation(_scores_of(runtime.run)).attribute(
        inputs, baselines, target=target, feature_mask=masks, perturbations_per_eval=AT_ONCE
    )
    sizes = torch.bincount(torch.cat([mask.flatten() for mask in masks]))
    return tuple(one / sizes[mask] for one, mask in zip(made, masks, strict=True))


def _masks(inputs: Tensors, groups: int) -> Tensors:
    """For each value the number of the group that it is replaced with; groups follow the values' order."""
    counts = [one.numel() for one in inputs]
    numbers = torch.arange(sum(counts)) * groups // sum(counts)
    return tuple(part.reshape(one.shape) for part, one in zip(numbers.split(counts), inputs, strict=True))


_ATTRIBUTE = {"integrated_gradients": _integrated_gradients, "feature_ablation": _feature_ablation}


def _scores_of(run: Callable[..., Any]) -> Callable[..., torch.Tensor]:
    """The network's one output, on the CPU."""

    def scores(*inputs: torch.Tensor) -> torch.Tensor:
        return next(iter(name_outputs(run(*inputs), ()).values())).cpu()

    return scores
