"""Find one of the best points by measuring few of them.

First each format runs alone, in one process and without a server: that takes seconds, and says how fast it can be at most. Then
the best of these are served, one batch size each; then the best of those, and the points beside it, as long as one is better.
A general optimiser would have to find out by serving what the first step knows: optuna's begins with ten random points, which
are the whole budget of a space of a hundred.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from marina.tuning.objective import Objective, Rank, Served
from marina.tuning.space import Choice, Format, Layout, Point, Space

SHARE = 0.1  # of the points of the space, that are served at most
FEWEST = 4  # where the space is small
MOST = 24  # where it is large: what is left to find is less than what measurements differ by
FIRST = 0.5  # of those, for the first look at the best formats
HOPELESS = 0.6  # of the fastest format's rate alone: what is slower is not served; a server makes rates more alike, not less
GAIN = 1.01  # what moves the search on


class Alone(Choice):
    """How fast a format is without a server, decoding of requests included.

    Attributes:
        rows_per_second: of all processes together, by batch size.
    """

    rows_per_second: dict[int, float]

    @property
    def best(self) -> float:
        """Its rate at the batch size that suits it best."""
        return max(self.rows_per_second.values())


class Bench(Protocol):
    """Measures. What cannot be measured (no archive, a worker that died) is None, and stays so."""

    def alone(self, how: Format, layout: Layout) -> Alone | None:
        """A format in as many processes as the layout has, without a server."""

    def served(self, point: Point) -> Served | None:
        """A point, by a server.

        Raises:
            OutOfTime: there is none left for it.
        """


class OutOfTime(Exception):
    """The time that the search may take has passed."""


def most_served(space: Space) -> int:
    """How many points of a space a search may serve."""
    return min(MOST, max(FEWEST, int(SHARE * len(space.points()))))


@dataclass
class Search:
    """A search, and what it has seen.

    Attributes:
        space: where.
        objective: what for.
        bench: which measures.
        seen: what was measured of the points that could be, in the order of the search.
        tried: those that were served, or could not be.
        is_done: whether it ended before its time did.
    """

    space: Space
    objective: Objective
    bench: Bench
    seen: dict[Point, Served] = field(default_factory=dict)
    tried: set[Point] = field(default_factory=set)
    is_done: bool = False

    @property
    def most(self) -> int:
        """How many points it may serve."""
        return most_served(self.space)

    def run(self) -> list[Point]:
        """The points that were served, the best first; none where nothing could be."""
        try:
            starts = self._starts()
            for point in starts[: max(2, round(FIRST * self.most))]:
                self._serve(point)
            self._climb()
            self._spend(starts)
            self.is_done = True
        except OutOfTime:
            pass
        return self.best()

    def best(self) -> list[Point]:
        """The points that were served, the best first."""
        return sorted(self.seen, key=lambda point: self.objective.rank(self.seen[point]), reverse=True)

    def _starts(self) -> list[Point]:
        """A point for each format and layout that has a chance, the fastest without a server first."""
        first = self.space.layouts[0]
        alone = {(how, first): self.bench.alone(how, first) for how in self.space.formats}
        fastest = max((one.best for one in alone.values() if one), default=0.0)
        hopeful = [how for how in self.space.formats if (one := alone[how, first]) and one.best >= HOPELESS * fastest]
        for how in hopeful:
            alone |= {(how, layout): self.bench.alone(how, layout) for layout in self.space.layouts[1:]}
        known = {key: one for key, one in alone.items() if one and key[0] in hopeful}
        order = sorted(known, key=lambda key: known[key].best, reverse=True)
        return [self._start(how, layout) for how, layout in order]

    def _start(self, how: Format, layout: Layout) -> Point:
        """With batches that leave half of the requests waiting, so that a worker that gets free finds the next one full."""
        fitting = self.objective.connections / (2 * layout.workers)
        batch = min(self.space.batches, key=lambda size: abs(size - fitting))
        return self.space.point(how, layout, batch, self.space.delays_ms[0])

    def _climb(self) -> None:
        """From the best point to a better one beside it, until there is none."""
        centre: Point | None = None
        while (best := next(iter(self.best()), None)) is not None and best != centre:
            centre = best
            for point in self.space.beside(centre):
                if self._serve(point) and self._gains(point, centre):
                    break

    def _spend(self, starts: Iterable[Point]) -> None:
        """What is left of the points: those beside the next best, then the other starts."""
        for runner_up in self.best()[1:3]:
            for point in self.space.beside(runner_up):
                self._serve(point)
        for point in starts:
            self._serve(point)

    def _gains(self, point: Point, over: Point) -> bool:
        new, old = self.objective.rank(self.seen[point]), self.objective.rank(self.seen[over])
        return new > Rank(old.meets, old.value * GAIN if old.value > 0 else old.value / GAIN)

    def _serve(self, point: Point) -> bool:
        """Whether there is something to compare, now that it was served."""
        if point in self.tried or len(self.tried) >= self.most:
            return point in self.seen
        self.tried.add(point)
        found = self.bench.served(point)
        if found:
            self.seen[point] = found
        return found is not None
