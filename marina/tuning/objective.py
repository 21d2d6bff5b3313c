"""What is wanted, and how near to it something measured is."""

from __future__ import annotations

from typing import Literal, NamedTuple

from marina.tuning.space import Choice

Goal = Literal["throughput", "latency"]


class Served(Choice):
    """What was measured of a point: rates in answers a second, latencies in seconds.

    Attributes:
        failures: answers that were not 200, and requests that got none.
        warnings: of the generator, where it was the limit itself.
    """

    throughput: float
    p50_s: float
    p99_s: float
    sent: int
    failures: int = 0
    seconds: float = 0.0
    generator_share: float = 0.0
    warnings: tuple[str, ...] = ()


class Rank(NamedTuple):
    """How good a point is: the greater the better. Whoever meets the objective goes before whoever does not."""

    meets: bool
    value: float


class Objective(Choice):
    """What is wanted.

    Attributes:
        goal: most throughput, or the lowest p50.
        p99_s: most that the p99 may be, in seconds; None for any.
        connections: that ask at once.
    """

    goal: Goal = "throughput"
    p99_s: float | None = None
    connections: int = 16

    def rank(self, served: Served) -> Rank:
        """How good it is; among those that fail the objective, the nearest first."""
        if served.failures:
            return Rank(False, -float("inf"))
        if self.p99_s is not None and served.p99_s > self.p99_s:
            return Rank(False, -served.p99_s)
        return Rank(True, self.value(served))

    def value(self, served: Served) -> float:
        """What is to be as large as can be: answers a second, or 1 / p50."""
        return served.throughput if self.goal == "throughput" else 1 / max(served.p50_s, 1e-9)

    def __str__(self) -> str:
        limit = f" with p99 within {self.p99_s * 1000:g} ms" if self.p99_s is not None else ""
        what = "most answers a second" if self.goal == "throughput" else "the lowest p50"
        return f"{what}{limit}, {self.connections} connection{'s' * (self.connections > 1)}"
