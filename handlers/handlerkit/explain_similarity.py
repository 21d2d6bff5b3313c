"""Why two texts are similar: the share of single tokens in the cosine of their embeddings. Imported when first asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from handlerkit.explain_tokens import explain_tokens
from handlerkit.explainer import Explainer
from handlerkit.tokens import PADDING
from handlerkit.vocabulary import Tokens

Embed = Callable[[torch.Tensor], torch.Tensor]


def explain_similarity(explainer: Explainer, embed: Embed, tokens: Tokens, other: Tokens, padding: int) -> dict[str, Any]:
    """Attribute the similarity of two texts to the tokens of the first: what is gone of it when one is replaced by padding.

    Args:
        explainer: of the archive; its runtime is not asked.
        embed: makes embeddings [rows, size] of token ids [rows, tokens].
        tokens: of the text that is explained.
        other: of the text it is compared with.
        padding: id that the network leaves out.

    Returns:
        ``similarity``, the cosine; ``truncated``, whether one of the texts was cut; ``method``, ``fidelity`` and ``tokens``
        as ``explain_tokens`` has them.

    Raises:
        BadRequest: the text has too many tokens.
    """
    compared = _Similarity(embed, tokens, embed(torch.tensor([other.all])), padding)
    ids = torch.tensor(tokens.ids)
    similarity = float(compared.run(ids.unsqueeze(0)))
    answer = {"similarity": round(similarity, 6), "truncated": tokens.truncated or other.truncated}
    return answer | explain_tokens(replace(explainer, runtime=compared), ids, tokens.words, 0, None)


class _Similarity:
    """A network from a text's own ids [rows, tokens] to one score [rows, 1], as ``explain_tokens`` takes one."""

    differentiable = False
    model = None

    def __init__(self, embed: Embed, tokens: Tokens, other: torch.Tensor, padding: int) -> None:
        self._embed, self._other, self._padding = embed, other, padding
        self._before, self._after = torch.tensor([tokens.before]), torch.tensor([tokens.after])

    def run(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Similarity of each row to the other text; ids that are PADDING are left out."""
        (ids,) = inputs
        rows = len(ids)
        own = torch.where(ids == PADDING, self._padding, ids)
        whole = torch.cat([self._before.expand(rows, -1).long(), own, self._after.expand(rows, -1).long()], dim=1)
        return torch.cosine_similarity(self._embed(whole), self._other).unsqueeze(1)

    __call__ = run
