"""Why a network gave a text its score: attributions of its tokens. Imported with the first explanation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from captum.attr import FeatureAblation, LayerIntegratedGradients

from handlerkit.budget import affordable
from handlerkit.errors import BadRequest
from handlerkit.explainer import Explainer
from handlerkit.tokens import PADDING
from handlerkit.trust import DELETED, completeness_gap, fidelity

AT_ONCE = 32
MOST = 1024
SHOWN = 64
CHARACTERS = 40
Scores = Callable[[torch.Tensor], torch.Tensor]


def explain_tokens(explainer: Explainer, ids: torch.Tensor, tokens: list[str], target: int, method: object) -> dict[str, Any]:
    """Attribute the score of one class to a text's tokens.

    By integrated gradients from the tokens' embedding, where the network is one of Python modules; else by ablation: what
    is gone of the score when a token is replaced by padding. A frozen network hides its embedding, and no gradient reaches
    an id.

    Args:
        explainer: of a network from token ids [rows, length] to scores before softmax [rows, classes].
        ids: of the text, padded, shape [length].
        tokens: those that the ids stand for.
        target: index of the class.
        method: that the request asks for, if any.

    Returns:
        ``method``; ``steps`` and whether they were ``reduced`` to the budget (of ablation, which then replaces neighbours
        together); ``completeness_gap`` of integrated gradients, else ``fidelity`` with the strongest tenth of the tokens
        deleted (see ``handlerkit.trust``); ``tokens``, the strongest 64 in the order of the text, each with its weight
        (positive speaks for the class).

    Raises:
        BadRequest: there is no such method, the runtime cannot do it, or the text has too many tokens.
    """
    if len(tokens) > MOST:
        raise BadRequest(f"Explained are texts of at most {MOST} tokens; this one has {len(tokens)}.")
    chosen, runtime, options = explainer.choose(method), explainer.runtime, explainer.options
    by_gradients = chosen == "layer_integrated_gradients"
    run = runtime if by_gradients else runtime.run

    def scores(present: torch.Tensor) -> torch.Tensor:
        """Scores of texts without their padding: it is no token, and is not explained."""
        padded = torch.nn.functional.pad(present, (0, len(ids) - len(tokens)), value=PADDING)
        made: torch.Tensor = run(padded).float().cpu()
        return made

    present = ids[: len(tokens)].unsqueeze(0)
    wanted = options.steps if by_gradients else len(tokens)
    steps = affordable(lambda: scores(present), wanted, options.budget_seconds)
    if by_gradients:
        weights, trust = _integrated_gradients(explainer, scores, present, target, steps)
    else:
        weights, trust = _ablation(scores, present, target, steps)
    return {"method": chosen, "steps": steps, "reduced": steps < wanted, **trust, "tokens": _shown(tokens, weights)}


def _integrated_gradients(
    explainer: Explainer, scores: Scores, present: torch.Tensor, target: int, steps: int
) -> tuple[torch.Tensor, dict[str, float]]:
    layer = explainer.layer("layer_integrated_gradients")
    baselines = torch.full_like(present, PADDING)
    with torch.enable_grad():
        made, delta = LayerIntegratedGradients(scores, layer).attribute(
            present, baselines, target=target, n_steps=steps, internal_batch_size=AT_ONCE, return_convergence_delta=True
        )
    weights = made[0].detach().float().cpu().flatten(1).sum(1)[: present.shape[1]]
    attributed = float(made.sum())
    return weights, completeness_gap(attributed, attributed - float(delta), 0.0)


def _ablation(scores: Scores, present: torch.Tensor, target: int, groups: int) -> tuple[torch.Tensor, dict[str, float]]:
    count = present.shape[1]
    mask = torch.arange(count) * groups // count
    made = FeatureAblation(scores).attribute(
        present, baselines=PADDING, target=target, feature_mask=mask.unsqueeze(0), perturbations_per_eval=AT_ONCE
    )
    weights = made[0].float() / torch.bincount(mask)[mask]
    strongest = weights.topk(max(1, round(count * DELETED))).indices
    deleted = present.index_fill(1, strongest, PADDING)
    whole, without, empty = (float(scores(one)[0, target]) for one in (present, deleted, torch.zeros_like(present)))
    return weights, fidelity(whole, without, empty)


def _shown(tokens: list[str], weights: torch.Tensor) -> list[dict[str, Any]]:
    """The strongest tokens in the order of the text, long ones cut."""
    places = sorted(weights.abs().topk(min(SHOWN, len(tokens))).indices.tolist())
    return [{"token": tokens[place][:CHARACTERS], "weight": float(f"{float(weights[place]):.6g}")} for place in places]
