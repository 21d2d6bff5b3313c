"""The best classes of a row, as every classifier answers them."""

from __future__ import annotations

from typing import Any, Protocol

import torch

from handlerkit.batch import Row
from handlerkit.labels import Labels
from handlerkit.metrics import Meter
from handlerkit.request_options import number, whole_number


class Choice(Protocol):
    """The options of a handler that say which classes an answer lists."""

    @property
    def top_k(self) -> int:
        """How many."""

    @property
    def threshold(self) -> float:
        """Least probability of one."""


def best_classes(probabilities: torch.Tensor, row: Row, labels: Labels, options: Choice, meter: Meter) -> list[dict[str, Any]]:
    """The best classes first, as many and as probable as the row asks, else as the options say; the best one is counted.

    Raises:
        BadRequest: the row asks for what is no number, or out of range.
    """
    most = whole_number(row, "top_k", options.top_k, 1, 1000)
    least = number(row, "threshold", options.threshold, 0, 1)
    best = probabilities.topk(min(most, len(probabilities)))
    found = list(zip(best.indices.tolist(), best.values.tolist(), strict=True))
    meter.answer(labels.name(found[0][0]), found[0][1])
    return [labels.answer(index, value) for index, value in found if value >= least]
