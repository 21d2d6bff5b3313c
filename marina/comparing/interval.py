"""Where the true difference lies, at any time: an interval that may be looked at, and acted on, whenever one likes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from marina.comparing.boundary import boundary, mixture_for
from marina.comparing.evidence import Evidence, Rows, evidence_of

KEYS = 25  # of each arm, counted as keys of equal traffic, before anything is said: sums of fewer are not normal enough
LONGEST = 1000.0  # times as much traffic: whoever would need more will not wait
TIGHTEST = 5000  # keys at which the interval is tightest for its level; GrowthBook's default too


@dataclass(frozen=True)
class Interval:
    """A difference and where it lies, in one unit.

    Attributes:
        value: the estimate.
        low: the true one is not below it, with a probability of 1 − α over all times together.
        high: nor above it.
    """

    value: float
    low: float
    high: float

    def excludes_zero(self) -> bool:
        """Whether it is a difference."""
        return self.low > 0 or self.high < 0

    def within(self, margin: float) -> bool:
        """Whether it is no difference that matters."""
        return -margin < self.low and self.high < margin


@dataclass(frozen=True)
class Start:
    """From when on there is an interval.

    Attributes:
        first: rows that are needed.
        mixture: of its boundary: fixed here, from what was known here, and never again.
    """

    first: int
    mixture: float


def start_of(rows: Rows, alpha: float, keys: int = KEYS) -> Start | None:
    """When both arms have so many keys, which differ in something; None where that is not yet so."""
    _, came = np.unique(rows.unit, return_index=True)
    arms = came[: rows.controls], came[rows.controls :]
    if min(len(arm) for arm in arms) < keys:
        return None
    first = max(int(np.partition(arm, keys - 1)[keys - 1]) for arm in arms) + 1
    for ahead in _doubling(first, len(rows)):
        evidence = evidence_of(rows, ahead)
        if evidence.variance > 0:
            return Start(ahead, mixture_for(evidence.variance / sum(evidence.keys) * TIGHTEST, alpha))
    return None


def _doubling(first: int, last: int) -> list[int]:
    """From first to last, by doubling."""
    steps = math.ceil(math.log2(max(last / first, 1)))
    return [min(first * 2**step, last) for step in range(steps + 1)]


def sure_enough(evidence: Evidence) -> bool:
    """Whether there are keys enough for an interval, and none of them too heavy."""
    return evidence.weight > 0 and evidence.variance > 0 and min(evidence.alike) >= KEYS


def difference(evidence: Evidence, mixture: float, alpha: float) -> Interval:
    """The other arm's mean less the control's."""
    half = boundary(evidence.variance, mixture, alpha) / evidence.weight
    return Interval(evidence.effect, evidence.effect - half, evidence.effect + half)


def relative_difference(evidence: Evidence, mixture: float, alpha: float) -> Interval | None:
    """The difference by the control's mean, which is uncertain itself; None where that may be 0 or below.

    Fieller, "Some problems in interval estimation", Journal of the Royal Statistical Society B 16 (1954): the ratios at which
    the weighted difference of the arms is not excluded. It excludes 0 where ``difference`` does.
    """
    control, other = evidence.means
    squared = boundary(evidence.variance, mixture, alpha) ** 2 / evidence.variance / evidence.weight**2
    of_control, of_other = (squared * variance for variance in evidence.variances)
    divisor = control**2 - of_control
    if control <= 0 or divisor <= 0:
        return None
    root = math.sqrt(max((control * other) ** 2 - divisor * (other**2 - of_other), 0.0))
    low, high = (control * other - root) / divisor, (control * other + root) / divisor
    return Interval(other / control - 1, low - 1, high - 1)


def when_looked_at(rows: Rows, start: Start, looks: int) -> NDArray[np.int64]:
    """Numbers of rows at which to look, evenly from the start to the end."""
    return np.unique(np.linspace(start.first, len(rows), looks).astype(np.int64)) if looks else np.array([], np.int64)


def growth_until_known(evidence: Evidence, mixture: float, alpha: float, margin: float | None) -> float | None:
    """How many times as much traffic leaves 0 out, or fits into the margin, if the difference is what it looks like.

    None where that is more than LONGEST.
    """
    widths = [abs(evidence.effect), *([margin - abs(evidence.effect)] if margin is not None else [])]

    def excess(logarithm: float) -> float:
        growth = math.exp(logarithm)
        variance = evidence.variance * (growth if evidence.varies else 1.0)
        return boundary(variance, mixture, alpha) / (evidence.weight * growth) - max(widths)

    if max(widths) <= 0 or excess(math.log(LONGEST)) > 0:
        return None
    return 1.0 if excess(0.0) <= 0 else math.exp(brentq(excess, 0.0, math.log(LONGEST), xtol=1e-3))
