"""Compare measurements that were taken in turn, so that what else the machine does hits all of them alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from marina.errors import MarinaError, UsageError
from marina.measuring.measurement import Measurement

CONFIDENCE = 0.95
Figure = Callable[[Measurement], float]
FIGURES: dict[str, Figure] = {
    "throughput": lambda one: one.throughput,
    "p50": lambda one: one.percentile(50),
    "p99": lambda one: one.percentile(99),
}


@dataclass(frozen=True)
class Rounds:
    """Measurements by case, round by round."""

    measurements: Mapping[str, list[Measurement]]

    def figures(self, case: str, of: Figure) -> list[float]:
        """One figure of a case, round by round."""
        return [of(one) for one in self.measurements[case]]


@dataclass(frozen=True)
class Ratio:
    """The median of the rounds' ratios, and an interval that holds the ratio's true median.

    Attributes:
        median: of the ratios, one a round.
        low: lower end of the interval.
        high: upper end.
        confidence: how often such intervals hold it: at least 0.95 from 6 rounds on; of fewer rounds, what they give.
    """

    median: float
    low: float
    high: float
    confidence: float


def interleaved(cases: Mapping[str, Callable[[], Measurement]], rounds: int) -> Rounds:
    """Measure each case once a round; each other round in the reverse order.

    Raises:
        UsageError: there is no case, or no round.
    """
    if not cases or rounds < 1:
        raise UsageError(f"at least one case and one round are required; found {len(cases)} and {rounds}")
    found: dict[str, list[Measurement]] = {name: [] for name in cases}
    for number in range(rounds):
        names = list(cases) if number % 2 == 0 else list(reversed(list(cases)))
        for name in names:
            found[name].append(cases[name]())
    return Rounds(found)


def ratio(rounds: Rounds, a: str, b: str, of: Figure | str) -> Ratio:
    """How often b's figure goes into a's.

    Args:
        rounds: both cases' measurements.
        a: the case above the line.
        b: the case below it.
        of: the figure, or its name in FIGURES; more than 0 where there was a good answer.

    Raises:
        MarinaError: there was none in a round.
    """
    figure = FIGURES[of] if isinstance(of, str) else of
    above, below = rounds.figures(a, figure), rounds.figures(b, figure)
    for case, figures in ((a, above), (b, below)):
        if failed := [number for number, value in enumerate(figures, 1) if not value > 0]:
            raise MarinaError(f"{case} gave no good answer in round {failed[0]} of {len(figures)}: there is no ratio")
    return median_interval([x / y for x, y in zip(above, below, strict=True)])


def median_interval(values: list[float]) -> Ratio:
    """The median, and the interval between two order statistics that holds the true one with 95 % confidence.

    It assumes nothing of how values are distributed but that rounds do not depend on each other, and a round that was disturbed
    moves it little: J.-Y. Le Boudec, Performance Evaluation of Computer and Communication Systems, EPFL Press 2010, theorem 2.1;
    T. Hoefler and R. Belli, Scientific Benchmarking of Parallel Computing Systems, SC 2015, rule 6. Of fewer than 6 values
    it goes from the least to the greatest, and says what confidence that has.
    """
    from scipy.stats import binom

    ordered = np.sort(np.asarray(values, dtype=np.float64))
    count = len(ordered)
    least = max(int(binom.ppf((1 - CONFIDENCE) / 2, count, 0.5)) - 1, 0)
    while least + 1 < (count + 1) / 2 and 2 * binom.cdf(least + 1, count, 0.5) <= 1 - CONFIDENCE:
        least += 1
    confidence = 1 - 2 * float(binom.cdf(least, count, 0.5)) if count > 1 else 0.0
    return Ratio(float(np.median(ordered)), float(ordered[least]), float(ordered[count - 1 - least]), confidence)
