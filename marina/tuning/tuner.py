"""Carries a search out: builds, measures, keeps what it found, and watches the time."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from marina.console import step
from marina.errors import MarinaError
from marina.store.crew import Outcome
from marina.tuning.alone import measure_alone
from marina.tuning.archives import Archives
from marina.tuning.asking import Asked, ask
from marina.tuning.journal import AloneAt, Build, Kept, Tried
from marina.tuning.objective import Served
from marina.tuning.search import Alone, OutOfTime
from marina.tuning.space import Format, Layout, Point, Space
from marina.tuning.trial import Trial, Unserved

JOBS = 2  # builds at once
OF_BUILDS = 0.5  # of the time, that builds may begin in
SHORTEST_S, LONGEST_S = 2.0, 15.0  # that a point is asked
ENOUGH = 150  # answers, for a p99 that means something
ROUNDS = 6  # as many as an interval of 95 % takes
FINALISTS = 3
REGISTERING_S = 5.0  # until the first was measured


@dataclass
class Clock:
    """How much time there is, and what a point takes.

    Attributes:
        budget_s: seconds for everything; None for any.
    """

    budget_s: float | None = None
    began: float = field(default_factory=time.monotonic)
    taken: list[float] = field(default_factory=list)

    @property
    def left_s(self) -> float:
        """Seconds that are left."""
        return float("inf") if self.budget_s is None else self.budget_s - (time.monotonic() - self.began)

    @property
    def point_s(self) -> float:
        """Seconds that a point takes."""
        return sum(self.taken) / len(self.taken) if self.taken else REGISTERING_S + SHORTEST_S

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Remember how long a point took."""
        began = time.monotonic()
        yield
        self.taken.append(time.monotonic() - began)


@dataclass
class Tuner:
    """Measures points of a space, and keeps what it measures; see ``search.Bench``.

    Attributes:
        space: whose points they are.
        archives: of its formats.
        asked: with which requests, by how many connections.
        kept: where it is kept.
        trial: the server.
        clock: how much time there is.
        most: how many points the search may serve, of which progress tells.
    """

    space: Space
    archives: Archives
    asked: Asked
    kept: Kept
    trial: Trial
    clock: Clock
    most: int = 0

    def build(self) -> None:
        """Build the formats, the likeliest to be fast first, until half of the time has passed."""
        waiting = [how for how in self.space.formats if self._lacks(how)]
        jobs = min(JOBS, os.cpu_count() or 1)
        most = self.clock.left_s * (1 - OF_BUILDS)
        while waiting and (self.clock.budget_s is None or self.clock.left_s > most or not self._built()):
            now, waiting = waiting[:jobs], waiting[jobs:]
            for outcome, how in zip(self.archives.build(now, jobs), now, strict=True):
                self.kept.add(_build(outcome, how))
                if outcome.entry is None:
                    step(f"{how}: left out: {outcome.reason}")
        for how in waiting:
            step(f"{how}: left out: there is no time to build it; a longer --budget has some")

    def alone(self, how: Format, layout: Layout) -> Alone | None:
        """See ``search.Bench``."""
        built = self.kept.journal.build_of(how)
        if built is None or built.reason:
            return None
        found = self.kept.journal.alone_at(how, layout)
        if found is None:
            if self._has_measured_alone() and self._is_late():
                return None
            found = self._alone(how, layout)
            self.kept.add(found)
        return found.measured

    def served(self, point: Point) -> Served | None:
        """See ``search.Bench``."""
        found = self.kept.journal.at(point)
        if found is None:
            if self._has_served() and self._is_late():
                raise OutOfTime
            found = self.measured(point)
            self.kept.add(found)
            self._tell(found)
        return found.served

    def finals(self, points: Sequence[Point]) -> list[tuple[Tried, ...]]:
        """Measure the best again, in turns, as often as there is time for; rounds that were kept count."""
        rounds = max(1, min(ROUNDS, int(min(self.clock.left_s, 1e6) // (len(points) * self.clock.point_s))))
        done = [one for one in self.kept.journal.rounds if {tried.point for tried in one} == set(points)]
        for number in range(len(done), rounds):
            left = (rounds - number) * len(points) * self.clock.point_s
            step(f"the best {len(points)} again, in turns: round {number + 1} of {rounds}, some {_duration(left)} left")
            done.append(tuple(self.measured(point) for point in (points if number % 2 == 0 else reversed(points))))
            self.kept.add_round(done[-1])
        return done

    def measured(self, point: Point) -> Tried:
        """Measure a point; what goes wrong with it is its own affair.

        Raises:
            Unserved: no server can be had.
        """
        try:
            with self.clock.counting(), self.trial.serving(point, self.asked.requests[0]) as address:
                return Tried(point=point, served=ask(address, self.asked, self._seconds(point)))
        except Unserved:
            raise
        except MarinaError as error:
            return Tried(point=point, reason=": ".join(filter(None, [str(error), self.trial.last_words()])))

    def _is_late(self) -> bool:
        """Whether what is left is for the finals; of a short time they get a quarter."""
        if self.clock.budget_s is None:
            return False
        finals = (FINALISTS + 1) * ROUNDS * self.clock.point_s
        return self.clock.left_s < min(finals, self.clock.budget_s / 4) + self.clock.point_s

    def _has_measured_alone(self) -> bool:
        return any(one.measured for one in self.kept.journal.alone)

    def _has_served(self) -> bool:
        return any(one.served for one in self.kept.journal.tried)

    def _lacks(self, how: Format) -> bool:
        """Whether a format is to be built. One whose archive is gone is built again when it is needed."""
        return self.kept.journal.build_of(how) is None

    def _built(self) -> bool:
        return any(one.reason is None for one in self.kept.journal.builds)

    def _alone(self, how: Format, layout: Layout) -> AloneAt:
        try:
            with self.archives.laid_out(how, layout) as archive:
                measured = measure_alone(archive, layout.workers, self.asked.contents, self.space.batches)
        except MarinaError as error:
            step(f"{how}, {layout}: left out: {error}")
            return AloneAt(format=how, layout=layout, reason=str(error))
        step(f"{how}, {layout}: {measured.best:.0f} a second without a server")
        return AloneAt(format=how, layout=layout, measured=measured)

    def _seconds(self, point: Point) -> float:
        """Long enough for a p99 of a slow network, as far as its rate without a server tells."""
        alone = self.kept.journal.alone_at(point.format, point.layout)
        rate = alone.measured.best if alone and alone.measured else 0.0
        return min(LONGEST_S, max(SHORTEST_S, ENOUGH / rate)) if rate else SHORTEST_S

    def _tell(self, found: Tried) -> None:
        number = len(self.kept.journal.tried)
        left = (max(0, self.most - number) + ROUNDS * (FINALISTS + 1)) * self.clock.point_s
        what = summary(found.served) if found.served else f"left out: {found.reason}"
        step(f"{number} of at most {self.most}: {found.point}: {what}; some {_duration(left)} left")


def summary(served: Served) -> str:
    """What was measured of a point, in a line."""
    failed = f", {served.failures} of {served.sent} failed" if served.failures else ""
    return f"{served.throughput:.1f} a second, p50 {served.p50_s * 1000:.1f} ms, p99 {served.p99_s * 1000:.1f} ms{failed}"


def _build(outcome: Outcome, how: Format) -> Build:
    entry = outcome.entry
    if entry is None:
        return Build(format=how, reason=outcome.reason)
    return Build(format=how, agreement=entry.agreement, accuracy=str(entry.accuracy) if entry.accuracy else None)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
