"""Streams of requests to two arms, of which we know what is true."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = Callable[[np.random.Generator, NDArray[np.int64], NDArray[np.bool_]], NDArray[np.float64]]


@dataclass(frozen=True)
class Stream:
    """Requests in their order: the number of the key and of the period, whether the other arm had them, the metric's value."""

    key: NDArray[np.int64]
    treated: NDArray[np.bool_]
    period: NDArray[np.int64]
    value: NDArray[np.float64]


@dataclass(frozen=True)
class Scenario:
    """A kind of experiment.

    Attributes:
        name: in results and pictures.
        values: what requests get, given their keys and which are the other arm's.
        shares: of the keys that the other arm has, in periods of equal length.
        requests: of an experiment.
        keys: that they come from; None where each request has its own.
        crowding: how unequal keys are: the n-th asks n**-crowding times as often as the first.
        drift: by which all values have risen at the end.
        truth: the difference that is there.
        experiments: how many to simulate.
        step: requests between two looks.
    """

    name: str
    values: Values
    shares: Sequence[float] = (0.5,)
    requests: int = 10_000
    keys: int | None = None
    crowding: float = 0.0
    drift: float = 0.0
    truth: float = 0.0
    experiments: int = 1000
    step: int = 100

    def stream(self, number: int) -> Stream:
        """The experiment of that number, the same whenever it is asked for."""
        random = np.random.default_rng([number, *self.name.encode()])
        key = self._keys(random)
        place = np.arange(self.requests) / self.requests
        period = (place * len(self.shares)).astype(np.int64)
        lot = random.random(int(key.max()) + 1)
        treated = lot[key] < np.asarray(self.shares)[period]
        return Stream(key, treated, period, self.values(random, key, treated) + self.drift * place)

    def _keys(self, random: np.random.Generator) -> NDArray[np.int64]:
        if self.keys is None:
            return np.arange(self.requests)
        often = np.arange(1, self.keys + 1) ** -self.crowding
        return random.choice(self.keys, size=self.requests, p=often / often.sum())


@dataclass(frozen=True)
class Normal:
    """Normal values of standard deviation 1, more by ``effect`` in the other arm, around a mean that each key has."""

    effect: float = 0.0
    of_keys: float = 0.0  # standard deviation of those means

    def __call__(self, random: np.random.Generator, key: NDArray[np.int64], treated: NDArray[np.bool_]) -> NDArray[np.float64]:
        """A value for each request."""
        tastes = self.of_keys * random.standard_normal(int(key.max()) + 1)
        return tastes[key] + random.standard_normal(len(key)) + self.effect * treated


@dataclass(frozen=True)
class YesOrNo:
    """1 with the probability of the arm, else 0."""

    control: float
    other: float

    def __call__(self, random: np.random.Generator, key: NDArray[np.int64], treated: NDArray[np.bool_]) -> NDArray[np.float64]:
        """A value for each request."""
        return (random.random(len(key)) < np.where(treated, self.other, self.control)).astype(float)


@dataclass(frozen=True)
class Skewed:
    """Latencies: log-normal, the logarithm's standard deviation as given."""

    spread: float

    def __call__(self, random: np.random.Generator, key: NDArray[np.int64], treated: NDArray[np.bool_]) -> NDArray[np.float64]:
        """A value for each request."""
        return np.exp(self.spread * random.standard_normal(len(key)))


ROLLOUT = (0.01, 0.05, 0.25, 0.5)
TO_AND_FRO = (0.1, 0.9) * 4

NOTHING_THERE = (
    Scenario("numbers, 50/50", Normal(), experiments=2000),
    Scenario("yes or no, 10 %, 50/50", YesOrNo(0.1, 0.1), step=250),
    Scenario("rare yes, 0.2 %, 50/50", YesOrNo(0.002, 0.002), requests=20_000, step=500),
    Scenario("skewed latencies, 50/50", Skewed(1.5), step=250),
    Scenario("numbers, 90/10", Normal(), shares=(0.1,), step=250),
    Scenario("skewed latencies, 90/10", Skewed(1.5), shares=(0.1,), step=250),
    Scenario("rare yes, 1 %, 90/10", YesOrNo(0.01, 0.01), shares=(0.1,), step=250),
    Scenario("numbers, 99/1", Normal(), shares=(0.01,), requests=20_000, step=500),
    Scenario("skewed latencies, 99/1", Skewed(1.5), shares=(0.01,), requests=20_000, step=500),
    Scenario("rare yes, 1 %, 99/1", YesOrNo(0.01, 0.01), shares=(0.01,), requests=20_000, step=500),
    Scenario("1,000 keys, each with its taste", Normal(of_keys=1.0), keys=1000, step=250),
    Scenario("3,000 keys, few of them heavy", Normal(of_keys=1.0), keys=3000, crowding=0.8, step=250),
    Scenario("200 keys that come again and again", Normal(), keys=200, step=250),
    Scenario("a rollout, 1 to 50 %, while values rise", Normal(of_keys=1.0), shares=ROLLOUT, keys=2000, drift=3.0, step=250),
    Scenario("weights to and fro, while values rise", Normal(of_keys=0.5), shares=TO_AND_FRO, keys=5000, drift=3.0, step=250),
)
SOMETHING_THERE = (
    Scenario("numbers, +0.2 standard deviations", Normal(0.2), truth=0.2, requests=8_000),
    Scenario("numbers, +0.1 standard deviations", Normal(0.1), truth=0.1, requests=25_000),
    Scenario("10 % become 12 %", YesOrNo(0.10, 0.12), truth=0.02, requests=50_000, step=200),
)
UNEQUAL = (
    Scenario("3 % stay 3 %", YesOrNo(0.03, 0.03), shares=(0.1,), experiments=500),
    Scenario("skewed latencies stay", Skewed(1.5), shares=(0.1,), experiments=500),
    Scenario("1 % become 3 %", YesOrNo(0.01, 0.03), shares=(0.1,), truth=0.02, requests=30_000, experiments=500, step=250),
    Scenario("3 % become 1 %", YesOrNo(0.03, 0.01), shares=(0.1,), truth=-0.02, requests=30_000, experiments=500, step=250),
)
EARLY = Scenario("60 keys, looked at after every 10", Normal(of_keys=2.0), keys=60, requests=1000, step=10)
