"""The best classes of a row, as every classifier answers them."""

from __future__ import annotations

from typing import Any

import torch

from handlerkit.batch import Row
from handlerkit.choice import FORMS, Choice
from handlerkit.labels import Labels
from handlerkit.metrics import Meter
from handlerkit.request_options import number, one_of, whole_number

Answer = list[dict[str, Any]] | dict[str, float]


def best_classes(probabilities: torch.Tensor, row: Row, labels: Labels, options: Choice, meter: Meter) -> Answer:
    """The best classes first, as many and as probable as the row asks, else as the options say; the best one is counted.

    With ``form: stock`` the answer is an object of probabilities by label, as TorchServe's own handlers give it; of two
    classes of one name it has the more probable.

    Raises:
        BadRequest: the row asks for what is no number, or out of range, or for no form.
    """
    most = whole_number(row, "top_k", options.top_k, 1, 1000)
    least = number(row, "threshold", options.threshold, 0, 1)
    best = probabilities.topk(min(most, len(probabilities)))
    found = list(zip(best.indices.tolist(), best.values.tolist(), strict=True))
    meter.answer(labels.name(found[0][0]), found[0][1])
    listed = [(index, value) for index, value in found if value >= least]
    if one_of(row, "form", options.form, FORMS) == "stock":
        return _by_name(listed, labels)
    return [labels.answer(index, value) for index, value in listed]


def chosen_class(scores: torch.Tensor, row: Row, labels: Labels) -> int:
    """Index of the class that a row asks to explain: its ``target``, a label or an index, else the best one.

    Args:
        scores: of each class, shape [classes].
        row: the request.
        labels: names of the classes.

    Raises:
        BadRequest: there is no such class.
    """
    wanted = row.option("target")
    return int(scores.argmax()) if wanted is None else labels.index(wanted, len(scores))


def _by_name(listed: list[tuple[int, float]], labels: Labels) -> dict[str, float]:
    named: dict[str, float] = {}
    for index, value in listed:
        named.setdefault(labels.name(index), value)
    return named
