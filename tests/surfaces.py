"""A bench for searches that measures nothing: what it says was measured before, or is made up by a rule."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from marina.tuning.journal import AloneAt, Tried
from marina.tuning.objective import Served
from marina.tuning.search import Alone, OutOfTime
from marina.tuning.space import Format, Layout, Point, Space


def served(throughput: float, p99_s: float = 0.05, *, failures: int = 0) -> Served:
    """A measurement."""
    return Served(throughput=throughput, p50_s=p99_s / 2, p99_s=p99_s, sent=100, failures=failures)


@dataclass
class Surface:
    """Everything that there is to measure, by format and layout, and by point.

    Attributes:
        noise: standard deviation of what a measurement is multiplied by.
        points_left: after so many points there is no time.
    """

    without_server: dict[tuple[Format, Layout], Alone]
    with_server: dict[Point, Served]
    noise: random.Random | None = None
    spread: float = 0.0
    points_left: int = 10_000
    asked: list[Point] = field(default_factory=list)

    def alone(self, how: Format, layout: Layout) -> Alone | None:
        return self.without_server.get((how, layout))

    def served(self, point: Point) -> Served | None:
        if len(self.asked) >= self.points_left:
            raise OutOfTime
        self.asked.append(point)
        found = self.with_server.get(point)
        if found is None or self.noise is None:
            return found
        return found.model_copy(update={"throughput": found.throughput * (1 + self.noise.gauss(0, self.spread))})


def recorded(path: Path) -> tuple[Space, Surface]:
    """A surface of benchmarks/tuning.py; of what was measured twice, without a server, the first."""
    document = json.loads(path.read_text())
    alone = [AloneAt.model_validate(one) for one in document["alone"]]
    tried = [Tried.model_validate(one) for one in document["survey"]]
    return Space.model_validate(document["space"]), Surface(
        {(one.format, one.layout): one.measured for one in alone if one.measured},
        {one.point: one.served for one in tried if one.served},
    )


def made_up(space: Space) -> Iterator[tuple[Point, Served]]:
    """Rates that a rule gives: the second format, two workers, batches of eight and no delay are best."""
    for point in space.points():
        rate = 100.0 * (1 + space.formats.index(point.format) % 2)
        rate *= 1.2 if point.layout.workers == 2 else 1.0
        rate *= 1 - abs(point.batch_size - 8) / 20 - point.max_batch_delay_ms / 100
        yield point, served(rate, 16 / rate)
