"""What requests say of the difference between two arms.

The unit is the key: its requests come from one person or one machine and resemble each other. The effect is the difference of
the means per request, taken within each period of constant weights, since a pooled one would compare Monday's requests with
Friday's; periods count by n₀n₁/n (Mantel and Haenszel, "Statistical aspects of the analysis of data", JNCI 22 (1959); for
differences: Greenland and Robins, "Estimation of a common effect parameter from sparse follow-up data", Biometrics 41 (1985)),
so that one without a second arm counts nothing. The variance is that of sums over keys, which for the ratio of two sums is
the delta method (Deng, Knoblich and Lu, "Applying the delta method in metric analytics", KDD 2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Rows:
    """Requests of a control and one other arm, in the order in which their values became known.

    Attributes:
        unit: a number from 0 for each key in each arm, the control's first. A key that a change of the weights moved is a
            unit in either: its two parts offset each other, so that to count them apart can only widen the interval.
        controls: units of the control.
        treated: whether the other arm was assigned.
        period: a number from 0 for each period of constant weights.
        value: the metric's.
        binary: whether all that the metric can be is 0 or 1.
    """

    unit: NDArray[np.int64]
    controls: int
    treated: NDArray[np.bool_]
    period: NDArray[np.int64]
    value: NDArray[np.float64]
    binary: bool

    def __len__(self) -> int:
        return len(self.value)


@dataclass(frozen=True)
class Evidence:
    """What is known at one moment; pairs are the control's and the other arm's.

    Attributes:
        keys: how many.
        alike: how many keys of equal traffic would weigh as much: Kish, "Survey Sampling" (1965).
        requests: how many.
        means: per request, over the periods with both arms.
        weight: of the sum of differences, in requests: it divided by the weight is the effect.
        variances: of that sum, the control's part and the other arm's.
        varies: whether any value differs from its arm's mean; where none does, the variance does not grow with the traffic.
    """

    keys: tuple[int, int]
    alike: tuple[float, float]
    requests: tuple[int, int]
    means: tuple[float, float]
    weight: float
    variances: tuple[float, float]
    varies: bool

    @property
    def effect(self) -> float:
        """The other arm's mean less the control's."""
        return self.means[1] - self.means[0]

    @property
    def variance(self) -> float:
        """Of the sum of differences."""
        return sum(self.variances)


def rows_of(key: NDArray[np.int64], treated: NDArray[np.bool_], period: NDArray[np.int64], value: NDArray[np.float64]) -> Rows:
    """Rows from what was observed, in the order in which it became known; keys are numbers from 0."""
    units, unit = np.unique(key + treated * (int(key.max(initial=0)) + 1), return_inverse=True)
    _, period = np.unique(period, return_inverse=True)
    controls = int(np.count_nonzero(units <= key.max(initial=0)))
    return Rows(unit, controls, treated, period, value, binary=bool(((value == 0) | (value == 1)).all()))


def evidence_of(rows: Rows, first: int | None = None) -> Evidence:
    """What the first rows, or all, say.

    The variance is the larger of two: with each arm's own spread, and with a common one, since an arm with few keys has
    seen none of its rare values and would look surer than it is. Where all is 0 or 1, an arm counts as if one request more
    had gone the other way.
    """
    unit, treated, period, value = (column[:first] for column in (rows.unit, rows.treated, rows.period, rows.value))
    cell = 2 * period + treated
    requests = np.bincount(cell, minlength=2 * (int(period.max(initial=0)) + 1)).astype(float)
    means = np.bincount(cell, value, minlength=len(requests)) / requests.clip(1)
    of_period = requests[0::2] + requests[1::2]
    weights = requests[0::2] * requests[1::2] / of_period.clip(1)
    residual = value - means[cell]
    size = np.bincount(unit, minlength=rows.controls).astype(float)
    keys = _by_arm(rows, size > 0)
    asked, squares = _by_arm(rows, size), _by_arm(rows, size**2)
    few = keys / (keys - 1).clip(1)
    own = few * _by_arm(rows, np.bincount(unit, residual * (np.repeat(weights, 2) / requests.clip(1))[cell], len(size)) ** 2)
    common = few * _by_arm(rows, np.bincount(unit, residual * np.sqrt(weights / of_period.clip(1))[period], len(size)) ** 2)
    weight = float(weights.sum())
    if rows.binary:
        own = np.maximum(own, squares * weight**2 / asked.clip(1) ** 3)
    if own.sum() > 0:
        own *= max(1.0, common.sum() / own.sum())
    levels = [float(weights @ means[arm::2]) / weight if weight else float("nan") for arm in (0, 1)]
    alike = asked**2 / squares.clip(1)
    return Evidence(
        keys=(int(keys[0]), int(keys[1])),
        alike=(float(alike[0]), float(alike[1])),
        requests=(int(asked[0]), int(asked[1])),
        means=(levels[0], levels[1]),
        weight=weight,
        variances=(float(own[0]), float(own[1])),
        varies=bool(residual.any()),
    )


def _by_arm(rows: Rows, of_units: NDArray[Any]) -> NDArray[np.float64]:
    return np.array([of_units[: rows.controls].sum(), of_units[rows.controls :].sum()], float)
