"""Why a network gave a text its score: Captum's ablation of single tokens. Imported with the first explanation."""

from __future__ import annotations

from typing import Any

import torch
from captum.attr import FeatureAblation

from handlerkit.errors import BadRequest
from handlerkit.runtimes import Runtime
from handlerkit.tokens import PADDING

AT_ONCE = 32
MOST = 1024
SHOWN = 64
CHARACTERS = 40
DELETED = 0.1


def explain_tokens(runtime: Runtime, ids: torch.Tensor, tokens: list[str], target: int) -> dict[str, Any]:
    """Attribute the score of one class to a text's tokens: what is gone of it when one is replaced by padding.

    That works on every runtime; gradients would have to start behind the embedding, which a frozen network hides.

    Args:
        runtime: of a network from token ids [rows, length] to scores before softmax [rows, classes].
        ids: of the text, padded, shape [length].
        tokens: those that the ids stand for.
        target: index of the class.

    Returns:
        ``method``; ``fidelity``, how much of the class's score is gone when the strongest tenth of the tokens is deleted,
        as a share of its difference to a text without tokens; ``tokens``, the strongest 64 in the order of the text, each
        with its weight (positive speaks for the class).

    Raises:
        BadRequest: the text has too many tokens.
    """
    if len(tokens) > MOST:
        raise BadRequest(f"Explained are texts of at most {MOST} tokens; this one has {len(tokens)}.")

    def scores(present: torch.Tensor) -> torch.Tensor:
        """Scores of texts without their padding: it is no token, and is not ablated."""
        padded = torch.nn.functional.pad(present, (0, len(ids) - len(tokens)), value=PADDING)
        made: torch.Tensor = runtime.run(padded).float().cpu()
        return made

    present = ids[: len(tokens)].unsqueeze(0)
    made = FeatureAblation(scores).attribute(present, baselines=PADDING, target=target, perturbations_per_eval=AT_ONCE)
    weights = made[0].float()
    strongest = weights.topk(max(1, round(len(tokens) * DELETED))).indices
    deleted = present.index_fill(1, strongest, PADDING)
    whole, without, empty = (float(scores(one)[0, target]) for one in (present, deleted, torch.zeros_like(present)))
    scale = abs(whole - empty) if abs(whole - empty) > 1e-6 else 1.0
    return {"method": "feature_ablation", "fidelity": round((whole - without) / scale, 6), "tokens": _shown(tokens, weights)}


def _shown(tokens: list[str], weights: torch.Tensor) -> list[dict[str, Any]]:
    """The strongest tokens in the order of the text, long ones cut."""
    places = sorted(weights.abs().topk(min(SHOWN, len(tokens))).indices.tolist())
    return [{"token": tokens[place][:CHARACTERS], "weight": float(f"{float(weights[place]):.6g}")} for place in places]
