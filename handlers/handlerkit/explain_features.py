"""Why a network gave a row its score: Captum's attributions of single values. Imported with the first explanation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from captum.attr import FeatureAblation, IntegratedGradients

from handlerkit.errors import BadRequest
from handlerkit.runtimes import Runtime
from handlerkit.tensors import TensorOptions, name_outputs

STEPS = 50
AT_ONCE = 32
MOST = 1024
Tensors = tuple[torch.Tensor, ...]


def explain_features(runtime: Runtime, row: Tensors, target: int, options: TensorOptions) -> dict[str, Any]:
    """Attribute one score of a row to the values of its inputs, against the options' baselines.

    Args:
        runtime: of a network with one output of shape [rows, scores].
        row: its inputs, each without the batch's dimension.
        target: index of the score.
        options: of the archive.

    Returns:
        ``method`` (integrated gradients, or feature ablation where there are no gradients: the runtime has none, or an
        input is of whole numbers), and ``attributions``, a number by the name of each value, the strongest first.

    Raises:
        BadRequest: the row has too many values.

    Sources:
        Sundararajan, Taly, Yan: Axiomatic Attribution for Deep Networks (2017).
    """
    names = options.feature_names()
    if len(names) > MOST:
        raise BadRequest(f"This model has no explanations: its input has {len(names)} values; explained are at most {MOST}.")
    inputs = tuple(one.unsqueeze(0) for one in row)
    baselines = tuple(one.baseline_tensor().unsqueeze(0) for one in options.inputs.values())
    gradients = runtime.differentiable and all(one.is_floating_point() for one in inputs)
    method = "integrated_gradients" if gradients else "feature_ablation"
    made = _ATTRIBUTE[method](runtime, inputs, baselines, target)
    values = torch.cat([one.detach().float().flatten() for one in made]).tolist()
    strongest = sorted(zip(names, values, strict=True), key=lambda pair: -abs(pair[1]))
    return {
        "method": method,
        "attributions": {name: float(f"{value:.6g}") for name, value in strongest},
    }


def _integrated_gradients(runtime: Runtime, inputs: Tensors, baselines: Tensors, target: int) -> Tensors:
    with torch.enable_grad():
        made: Tensors = IntegratedGradients(_scores_of(runtime)).attribute(
            inputs, baselines, target=target, n_steps=STEPS, internal_batch_size=AT_ONCE
        )
    return made


def _feature_ablation(runtime: Runtime, inputs: Tensors, baselines: Tensors, target: int) -> Tensors:
    made: Tensors = FeatureAblation(_scores_of(runtime.run)).attribute(
        inputs, baselines, target=target, perturbations_per_eval=AT_ONCE
    )
    return made


_ATTRIBUTE = {"integrated_gradients": _integrated_gradients, "feature_ablation": _feature_ablation}


def _scores_of(run: Callable[..., Any]) -> Callable[..., torch.Tensor]:
    """The network's one output, on the CPU."""

    def scores(*inputs: torch.Tensor) -> torch.Tensor:
        return next(iter(name_outputs(run(*inputs), ()).values())).cpu()

    return scores
