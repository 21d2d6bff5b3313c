"""Whether what is faster answers the same: all digits, each by a network that has not seen it, in bf16 and in int8."""

from __future__ import annotations

import numpy as np

from goals.bench import Bench, Compared
from goals.folds import FOLDS, VERSIONS, Answers, answers
from goals.results import Result

LOSS = 0.003  # of the accuracy of eager fp32
AGREEMENT = {"bf16": 0.995, "int8": 0.99}


def agreement(bench: Bench) -> list[Result]:
    """Accuracy and top-1 agreement with eager fp32, the Wilson intervals, and the largest difference of a probability."""
    found = answers(bench.kept, 1 if bench.smoke else FOLDS)
    exact = found["fp32"]
    return [one for name in VERSIONS if name != "fp32" for one in _results(name, found[name], exact)]


def _results(name: str, ours: Answers, exact: Answers) -> list[Result]:
    count, same = len(exact.right), int((ours.best == exact.best).sum())
    low, high = wilson(same, count)
    group, unit = "answers", f"of {count}"
    loss = Compared(
        f"digits, {name}: accuracy beside eager fp32", group, 1 - LOSS * count / exact.hits, "higher", unit, timed=False
    )
    agree = Compared(f"digits, {name}: top-1 agreement with eager fp32", group, AGREEMENT[name], "higher", unit, timed=False)
    accuracies = {"accuracy_interval": wilson(ours.hits, count), "eager_interval": wilson(exact.hits, count)}
    apart = float(np.abs(ours.probabilities - exact.probabilities).max())
    agreed = agree.result([float(same)], [float(count)], {"largest_probability_difference": apart})
    return [
        loss.result([float(ours.hits)], [float(exact.hits)], accuracies),
        Result(**vars(agreed) | {"low": low, "high": high}),
    ]


def wilson(hits: int, count: int) -> tuple[float, float]:
    """Wilson's interval of a share, with 95 % confidence (E. B. Wilson, JASA 22, 1927)."""
    from scipy.stats import binomtest

    interval = binomtest(hits, count).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)
