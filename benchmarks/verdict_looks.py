"""What the judge, and others in its place, say of a stream when they look at it again and again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from verdict_streams import Scenario, Stream

from marina.comparing.evidence import evidence_of, rows_of
from marina.comparing.interval import KEYS, difference, start_of, sure_enough
from marina.comparing.sample_ratio import log_evidence

ALPHA = 0.05
FEW = 4  # keys: the fewest of which a t-test knows a spread


EVENTS = 10  # concentration of the mixture by which events are tested: a share that is half or twice what it should be


@dataclass(frozen=True)
class Looks:
    """Intervals of an experiment, a pair of bounds for each look; not a number where nothing was said."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def first_without(self, value: float) -> int | None:
        """The number of the first look whose interval leaves a value out."""
        out = np.flatnonzero((self.low > value) | (self.high < value))
        return int(out[0]) if len(out) else None


def looks_at(scenario: Scenario) -> NDArray[np.int64]:
    """Requests that are known at each look."""
    return np.arange(scenario.step, scenario.requests + 1, scenario.step)


def judged(stream: Stream, looks: NDArray[np.int64], keys: int = KEYS, until: float | None = None) -> Looks:
    """What the judge says.

    Args:
        stream: of an experiment.
        looks: when.
        keys: of each arm before it says anything.
        until: a difference; it stops looking once that is left out.
    """
    rows = rows_of(stream.key, stream.treated, stream.period, stream.value)
    start = start_of(rows, ALPHA, keys)
    low, high = np.full(len(looks), math.nan), np.full(len(looks), math.nan)
    for number in np.flatnonzero(looks >= start.first) if start else ():
        evidence = evidence_of(rows, int(looks[number]))
        if start and (sure_enough(evidence) if keys == KEYS else evidence.weight > 0):
            found = difference(evidence, start.mixture, ALPHA)
            low[number], high[number] = found.low, found.high
            if until is not None and not found.low <= until <= found.high:
                break
    return Looks(low, high)


def judged_for(stream: Stream, looks: NDArray[np.int64], alphas: Sequence[float]) -> dict[float, int | None]:
    """The first look at which the judge finds a difference, for each probability of a false alarm that it may be asked for."""
    rows = rows_of(stream.key, stream.treated, stream.period, stream.value)
    starts = {alpha: start for alpha in alphas if (start := start_of(rows, alpha))}
    found: dict[float, int | None] = dict.fromkeys(alphas)
    for number, known in enumerate(looks):
        waiting = [alpha for alpha, start in starts.items() if found[alpha] is None and known >= start.first]
        if not waiting:
            continue
        evidence = evidence_of(rows, int(known))
        for alpha in waiting if sure_enough(evidence) else ():
            said = difference(evidence, starts[alpha].mixture, alpha)
            if not said.low <= 0 <= said.high:
                found[alpha] = number
        if None not in found.values():
            break
    return found


def arms_of_events(stream: Stream, looks: NDArray[np.int64], percent: float) -> int | None:
    """The first look at which the events, all that is 1, are shared otherwise than the requests, by a test that is exact.

    Where both arms are the same, the arm of each event is chosen by chance as that of each request is: the count of events by arm
    is tested as the judge tests that of keys (Lindon and Malek, NeurIPS 2022), and no spread is estimated.
    """
    mine = [np.cumsum(stream.value * (stream.treated == arm))[looks - 1] for arm in (False, True)]
    shares = np.array([1 - percent / 100, percent / 100])
    for number, counts in enumerate(zip(*mine, strict=True)):
        if log_evidence(np.array(counts), shares, EVENTS) >= -math.log(ALPHA):
            return number
    return None


def by_request(stream: Stream) -> Stream:
    """The same stream, as if each request came from a key of its own."""
    return Stream(np.arange(len(stream.key)), stream.treated, stream.period, stream.value)


def pooled(stream: Stream) -> Stream:
    """The same stream, as if the weights had never changed."""
    return Stream(stream.key, stream.treated, np.zeros_like(stream.period), stream.value)


def tested(stream: Stream, looks: NDArray[np.int64]) -> Looks:
    """The interval of a t-test (Welch's) at each look, as if it were the only one."""
    (n0, mean0, var0), (n1, mean1, var1) = (_moments(stream, looks, arm) for arm in (False, True))
    with np.errstate(all="ignore"):
        squared = var0 / n0 + var1 / n1
        degrees = squared**2 / ((var0 / n0) ** 2 / (n0 - 1) + (var1 / n1) ** 2 / (n1 - 1))
        half = stats.t.ppf(1 - ALPHA / 2, degrees) * np.sqrt(squared)
        said = (np.minimum(n0, n1) >= FEW) & (squared > 0)
    low, high = (np.where(said, mean1 - mean0 + sign * half, math.nan) for sign in (-1, 1))
    return Looks(low, high)


def totals(stream: Stream, looks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Number, sum and sum of squares of the control and of the other arm at each look: six columns, for gbstats."""
    columns = []
    for arm in (False, True):
        mine = stream.treated == arm
        columns += [np.cumsum(mine * stream.value**power)[looks - 1] for power in (0, 1, 2)]
    return np.stack(columns, axis=1)


def _moments(
    stream: Stream, looks: NDArray[np.int64], arm: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    number, total, squares = totals(stream, looks)[:, 3 * arm : 3 * arm + 3].T
    with np.errstate(all="ignore"):
        mean = total / number
        return number, mean, (squares - number * mean**2) / (number - 1)


def planned_requests(scenario: Scenario, power: float = 0.8) -> int:
    """Requests that a test needs which is looked at once, at 50/50, to find the scenario's difference with a probability."""
    stream = scenario.stream(0)
    spread = np.mean([stream.value[stream.treated == arm].var() for arm in (False, True)])
    quantiles = stats.norm.ppf(1 - ALPHA / 2) + stats.norm.ppf(power)
    return math.ceil(float(4 * spread * (quantiles / scenario.truth) ** 2))
