"""What a search found, with its evidence."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import Field

from marina.tuning.journal import AloneAt, Build, Tried
from marina.tuning.machine import Machine
from marina.tuning.objective import Objective, Served
from marina.tuning.space import Choice, Point, Space


class Against(Choice):
    """How the tuned settings do against the spec's own, as the ratio of what is wanted: above 1 is better.

    Attributes:
        low: lower end of its interval over the rounds.
        high: upper end.
        confidence: how often such intervals hold the true ratio; little where there were few rounds.
    """

    median: float
    low: float
    high: float
    confidence: float

    def __str__(self) -> str:
        return f"{self.median:.2f} × ({self.low:.2f} to {self.high:.2f})"


class Result(Choice):
    """The evidence for settings.

    Attributes:
        model: its name.
        version: that was tuned.
        became: the version that the result is written as.
        random_weights: whether speed alone was measured.
        agreement: the least share of inputs whose best class in a reduced precision must be the one in fp32.
        points: how many the space has.
        tried: those that were served.
        default: what the spec said.
        chosen: the best.
        rounds: of the finalists, which were measured again, in turns.
        conditions: a digest of what measurements depend on.
        budget_s: seconds that all could take.
        ratio: of the chosen ones over the default; None where these are the same, or the default's could not be served.
    """

    model: str
    version: str
    became: str
    objective: Objective
    random_weights: bool
    agreement: float
    machine: Machine
    finished: datetime = Field(default_factory=lambda: datetime.now(UTC))
    space: Space
    points: int
    builds: tuple[Build, ...]
    alone: tuple[AloneAt, ...]
    tried: tuple[Tried, ...]
    default: Point
    chosen: Point
    rounds: tuple[tuple[Tried, ...], ...]
    ratio: Against | None
    conditions: str
    budget_s: float | None

    @property
    def finalists(self) -> dict[Point, Served]:
        """The medians of those that were measured again."""
        points = dict.fromkeys(tried.point for one in self.rounds for tried in one)
        found = {point: median_of(self.rounds, point) for point in points}
        return {point: served for point, served in found.items() if served}


def median_of(rounds: Sequence[Sequence[Tried]], point: Point) -> Served | None:
    """The medians of a point's measurements; None where it could not be served in one of the rounds."""
    found = [tried.served for one in rounds for tried in one if tried.point == point]
    measured = [one for one in found if one]
    if not measured or len(measured) < len(found):
        return None
    return Served(
        throughput=statistics.median(one.throughput for one in measured),
        p50_s=statistics.median(one.p50_s for one in measured),
        p99_s=statistics.median(one.p99_s for one in measured),
        sent=sum(one.sent for one in measured),
        failures=sum(one.failures for one in measured),
        seconds=sum(one.seconds for one in measured),
        generator_share=max(one.generator_share for one in measured),
        warnings=tuple(dict.fromkeys(text for one in measured for text in one.warnings)),
    )
