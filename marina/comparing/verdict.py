"""What the evidence says of two arms: better, worse, no difference that matters, or not known yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from marina.comparing.evidence import Evidence, Rows, evidence_of, rows_of
from marina.comparing.interval import (
    Interval,
    Start,
    difference,
    growth_until_known,
    relative_difference,
    start_of,
    sure_enough,
    when_looked_at,
)
from marina.comparing.sample_ratio import SampleRatio, sample_ratio
from marina.comparing.traffic_rows import Observations, SplitChange

State = Literal["better", "worse", "same", "unknown", "untrusted"]
AROUND_A_CHANGE = 2.0  # seconds on either side in which requests may have been split by either weights


@dataclass(frozen=True)
class Margin:
    """The smallest difference that matters.

    Attributes:
        size: in the metric's unit, or a part of the control's mean.
        relative: whether it is a part.
    """

    size: float
    relative: bool = False

    def in_units(self, control: float) -> float:
        """In the metric's unit."""
        return self.size * abs(control) if self.relative else self.size


@dataclass(frozen=True)
class Question:
    """What is asked of one metric.

    Attributes:
        metric: its name.
        arm: the version that is compared with the control.
        control: what it is compared with.
        alpha: the probability of a wrong answer, of this one alone.
        margin: the smallest difference that matters, where one was given.
        lower_is_better: whether the arm with less of it is the better one.
    """

    metric: str
    arm: str
    control: str
    alpha: float = 0.05
    margin: Margin | None = None
    lower_is_better: bool = False


@dataclass(frozen=True)
class Look:
    """The difference as it was seen at a time, Unix seconds."""

    time: float
    keys: tuple[int, int]
    difference: Interval


@dataclass(frozen=True)
class Verdict:
    """The answer to a question.

    Attributes:
        question: which.
        state: "better", "worse", "same" (no difference that matters), "unknown" (not yet), "untrusted" (keys are missing).
        evidence: all that is known.
        ratio: how keys were shared.
        binary: whether the metric is 0 or 1 for each request.
        difference: in the metric's unit; None where there are too few keys, or nothing varies.
        relative: by the control's mean; None also where that may be 0.
        margin: in the metric's unit; None where none was given.
        more_seconds: until it is known, at this traffic and if the difference is what it looks like; None where it is known, or
            that would take a thousand times as much traffic, or one of the arms gets none.
        over_time: the difference at the times that were asked for.
    """

    question: Question
    state: State
    evidence: Evidence
    ratio: SampleRatio
    binary: bool
    difference: Interval | None = None
    relative: Interval | None = None
    margin: float | None = None
    more_seconds: float | None = None
    over_time: tuple[Look, ...] = ()


def judge(question: Question, seen: Observations, splits: Sequence[SplitChange], looks: int = 0) -> Verdict:
    """Compare an arm with the control by one metric.

    Args:
        question: what is asked.
        seen: the metric's values, those of other arms as well.
        splits: the weights and when they came into force, the earliest first; without them keys cannot be counted against them.
        looks: how many differences over time to give.
    """
    seen, period = by_period(seen, splits)
    ratio = _ratio(seen, period, splits)
    compared = (seen.assigned == question.arm) | (seen.assigned == question.control)
    chosen = _choose(seen, compared)
    rows = rows_of(chosen.key, chosen.assigned == question.arm, period[compared], chosen.value)
    evidence, start = evidence_of(rows), start_of(rows, question.alpha)
    if start is None or not sure_enough(evidence):
        return Verdict(question, "unknown" if ratio.right else "untrusted", evidence, ratio, rows.binary)
    interval = difference(evidence, start.mixture, question.alpha)
    margin = question.margin.in_units(evidence.means[0]) if question.margin else None
    state = _state(question, interval, margin) if ratio.right else "untrusted"
    growth = growth_until_known(evidence, start.mixture, question.alpha, margin) if state == "unknown" else None
    return Verdict(
        question,
        state,
        evidence,
        ratio,
        rows.binary,
        interval,
        relative_difference(evidence, start.mixture, question.alpha),
        margin,
        _more_seconds(growth, evidence.weight, _pace(chosen, rows)),
        tuple(_look(chosen, rows, start, question.alpha, int(first)) for first in when_looked_at(rows, start, looks)),
    )


def by_period(seen: Observations, splits: Sequence[SplitChange]) -> tuple[Observations, NDArray[np.int64]]:
    """What was observed without the moments of change, and for each row which split was in force; −1 before the first."""
    times = np.array([change.time for change in splits])
    period = np.searchsorted(times, seen.time, side="right") - 1
    changes = times[1:]  # the first split changed nothing
    if len(changes) == 0:
        return seen, period
    nearest = np.abs(changes[np.clip(np.stack([period - 1, period]), 0, len(changes) - 1)] - seen.time).min(axis=0)
    settled = nearest > AROUND_A_CHANGE
    return _choose(seen, settled), period[settled]


def _choose(seen: Observations, chosen: NDArray[np.bool_]) -> Observations:
    return Observations(seen.time[chosen], seen.known[chosen], seen.key[chosen], seen.assigned[chosen], seen.value[chosen])


def _ratio(seen: Observations, period: NDArray[np.int64], splits: Sequence[SplitChange]) -> SampleRatio:
    order = np.argsort(seen.time, kind="stable")
    return sample_ratio(seen.key[order], seen.assigned[order], period[order], [change.weights for change in splits])


def _state(question: Question, interval: Interval, margin: float | None) -> State:
    if margin is not None and interval.within(margin):
        return "same"
    if not interval.excludes_zero():
        return "unknown"
    return "better" if (interval.value < 0) == question.lower_is_better else "worse"


def _look(seen: Observations, rows: Rows, start: Start, alpha: float, first: int) -> Look:
    evidence = evidence_of(rows, first)
    return Look(float(seen.known[first - 1]), evidence.keys, difference(evidence, start.mixture, alpha))


def _more_seconds(growth: float | None, weight: float, pace: float) -> float | None:
    return None if growth is None or pace == 0 else (growth - 1) * weight / pace


def _pace(seen: Observations, rows: Rows) -> float:
    """Weight that comes in a second under the split of now."""
    last = rows.period == rows.period.max()
    now = Rows(rows.unit[last], rows.controls, rows.treated[last], rows.period[last], rows.value[last], rows.binary)
    seconds = float(np.ptp(seen.time[last]))
    return evidence_of(now).weight / seconds if seconds else 0.0
