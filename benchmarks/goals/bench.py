"""How the goals are measured: so many interleaved rounds of so many seconds, and how a result is made of them."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from goals.networks import Kept
from goals.pictures import photograph
from goals.results import Better, Result
from goals.targets import Target
from goals.torchserves import Serving, torchserve
from marina.console import step
from marina.measuring.comparing import FIGURES, Figure, Rounds, interleaved, median_interval
from marina.measuring.load import Load, measure
from marina.measuring.measurement import Measurement
from marina.tuning.machine import processor

BUSY = 3.0  # load average, in cores: our own servers and callers make about twice
FIRST_REQUESTS = 4  # of a worker: TorchScript takes seconds for the first ones


@dataclass(frozen=True)
class Compared:
    """What a goal says.

    Attributes:
        goal: what is compared with what.
        group: the name by which it is measured.
        target: that the ratio must reach; None where it is only told.
        better: whether a higher or a lower ratio is better.
        unit: of both figures.
        timed: whether they depend on how busy the machine is.
    """

    goal: str
    group: str
    target: float | None
    better: Better = "higher"
    unit: str = "images/s"
    timed: bool = True

    def result(self, ours: Sequence[float], other: Sequence[float], detail: Mapping[str, Any] | None = None) -> Result:
        """The result of figures that were taken in turns, round by round."""
        ratios = [a / b if b else float("nan") for a, b in zip(ours, other, strict=True)]
        interval, load = median_interval(ratios), os.getloadavg()[0] if self.timed else 0.0
        return Result(
            self.goal,
            self.group,
            statistics.median(ours),
            statistics.median(other),
            interval.median,
            self.better,
            self.target,
            len(ratios),
            interval.low,
            interval.high,
            self.unit,
            ratios,
            dict(detail or {}),
            machine_and_date(),
            load,
            load > BUSY * (os.cpu_count() or 1),
        )

    def of(self, rounds: Rounds, ours: str, other: str, figure: str | Figure, detail: Mapping[str, Any] | None = None) -> Result:
        """The result of loads."""
        taken = FIGURES[figure] if isinstance(figure, str) else figure
        told = dict(detail or {}) | loads(rounds, ours, other)
        return self.result(rounds.figures(ours, taken), rounds.figures(other, taken), told)


@dataclass(frozen=True)
class Bench:
    """What every goal is measured with.

    Attributes:
        kept: weights, pictures and archives, made once.
        rounds: of all cases, one after the other.
        seconds: of one case in a round.
        warm_up_seconds: before them.
        smoke: whether only the sign of each ratio matters.
    """

    kept: Kept
    rounds: int
    seconds: float
    warm_up_seconds: float
    smoke: bool = False

    @property
    def logs(self) -> Path:
        """Where servers under test write."""
        return self.kept.folder / "logs"

    def case(self, target: Target, contents: Sequence[bytes], connections: int = 16) -> Callable[[], Measurement]:
        """A load that can be measured again and again."""
        asked = [target.asking(content) for content in contents]
        load = Load(connections, None, self.seconds, self.warm_up_seconds)
        return lambda: measure(target.address, asked, load)

    def in_turns(self, cases: Mapping[str, Callable[[], Measurement]]) -> Rounds:
        """Measure all cases, round by round, and say how each did; once before, uncounted, while Java compiles itself."""
        told = {name: _telling(name, case) for name, case in cases.items()}
        if not self.smoke:
            interleaved(told, 1)
        return interleaved(told, self.rounds)

    def serve(self, stack: ExitStack, name: str, archive: str, serving: Serving, *, shipped: bool = False) -> Target:
        """Serve one archive by a TorchServe of its own until the stack is closed; it has answered before this returns."""
        threads = serving.threads if shipped else None  # ours have theirs in the archive
        server = stack.enter_context(torchserve(self.kept.store, self.logs / name, shipped=shipped, threads=threads))
        target, seconds = server.register(archive, serving)
        step(f"{name}: {serving}; READY after {seconds:.1f} s")
        target.warm_up(photograph(self.kept.pictures), FIRST_REQUESTS * serving.workers)
        return target


def in_turns(cases: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Figures that are no loads, taken in turns."""
    found: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            found[name].append(case())
            step(f"{name}: {found[name][-1]:.4g}")
    return found


def loads(rounds: Rounds, *cases: str) -> dict[str, Any]:
    """What else is to be known of loads: what the generator used, what failed, the latencies."""
    told: dict[str, Any] = {}
    for name in cases:
        measured = rounds.measurements[name]
        told[name] = {
            "images_per_second": [one.throughput for one in measured],
            "p50_ms": [one.percentile(50) * 1000 for one in measured],
            "p99_ms": [one.percentile(99) * 1000 for one in measured],
            "generator_share": max(one.generator_share for one in measured),
            "failed": sum(one.failed for one in measured),
        }
    return told


def machine_and_date() -> str:
    """Today, the processor and its cores."""
    return f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores of {processor()}"


def _telling(name: str, case: Callable[[], Measurement]) -> Callable[[], Measurement]:
    def measured() -> Measurement:
        one = case()
        p50, p99 = (one.percentile(p) * 1000 for p in (50, 99))
        warned = "".join(f"; {warning}" for warning in one.warnings)
        step(f"{name}: {one.throughput:.1f} a second, p50 {p50:.0f} ms, p99 {p99:.0f} ms{warned}")
        return one

    return measured
