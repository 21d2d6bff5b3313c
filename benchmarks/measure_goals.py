"""Measure the goals of Marina's performance, each side by side with what it is compared with; results are kept by goal."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from goals import peers
from goals.answers import agreement
from goals.asked import named
from goals.bad_images import bad_images
from goals.bench import Bench
from goals.explaining import explanations
from goals.images import large, resnet18, single, vgg16
from goals.limit import limit
from goals.networks import Kept
from goals.noop import noop
from goals.results import PAGE, RESULTS, Result, keep, read_results, table, write_page
from goals.workers import memory, ready

from marina.console import out, run, step
from marina.errors import MarinaError, UsageError
from marina.paths import State

GOALS: dict[str, Callable[[Bench], list[Result]]] = {
    "resnet18": resnet18,
    "vgg16": vgg16,
    "large": large,
    "single": single,
    "limit": limit,
    "bad_images": bad_images,
    **peers.GROUPS,
    "noop": noop,
    "memory": memory,
    "ready": ready,
    "explanations": explanations,
    "answers": agreement,
}
SMOKE = ("noop", "single")
ROUNDS, SECONDS, WARM_UP_SECONDS = 6, 8.0, 2.0
SMOKE_ROUNDS, SMOKE_SECONDS, SMOKE_WARM_UP_SECONDS = 1, 2.0, 0.5


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--goals", default="", help=f"separated by commas, of {', '.join(GOALS)} (all of them)")
    options.add_argument("--missing", action="store_true", help="measure only those of which the results have nothing")
    options.add_argument(
        "--smoke", action="store_true", help=f"one short round of {' and '.join(SMOKE)}; see that their signs are right"
    )
    options.add_argument("--rounds", type=int, default=ROUNDS, help="of all cases of a goal (%(default)s)")
    options.add_argument("--seconds", type=float, default=SECONDS, help="of one case in a round (%(default)s)")
    options.add_argument("--warm-up", type=float, default=WARM_UP_SECONDS, help="seconds before them (%(default)s)")
    options.add_argument(
        "--folder", type=Path, default=State().folder / "benchmark", help="for archives and weights (%(default)s)"
    )
    options.add_argument("--results", type=Path, default=RESULTS, help="file of the results (%(default)s)")
    return options


def main(argv: list[str] | None = None) -> int:
    """Measure; returns the exit code: 1 where something could not be measured, or in a smoke run a sign is wrong."""
    options = parser().parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that servers under test are ended, as by Ctrl-C
    return run(lambda: _measure(options))


def _measure(options: argparse.Namespace) -> int:
    chosen = _chosen(options)
    kept = Kept(options.folder.resolve())
    timing = (SMOKE_ROUNDS, SMOKE_SECONDS, SMOKE_WARM_UP_SECONDS) if options.smoke else _timing(options)
    bench = Bench(kept, *timing, smoke=options.smoke)
    measured, failed = [], False
    for name in chosen:
        step(f"goal {name}")
        try:
            results = GOALS[name](bench)
        except MarinaError as error:  # the others can be measured all the same
            step(f"{name}: not measured: {error}")
            failed = True
            continue
        measured += results
        if not options.smoke:
            together = keep(results, options.results, list(GOALS))
            if options.results == RESULTS:
                write_page(together, PAGE)
    out.print(table(measured), markup=False)
    return int(failed or (options.smoke and not all(map(_sign_is_right, measured))))


def _timing(options: argparse.Namespace) -> tuple[int, float, float]:
    if options.rounds < 1 or not options.seconds > 0 or not options.warm_up >= 0:
        raise UsageError("--rounds must be at least 1, --seconds more than 0 and --warm-up 0 or more")
    return options.rounds, options.seconds, options.warm_up


def _chosen(options: argparse.Namespace) -> list[str]:
    """The goals that are asked for, in the order of the table."""
    asked = named("--goals", options.goals, GOALS) or list(SMOKE if options.smoke else GOALS)
    if options.missing:
        there = {one.group for one in read_results(options.results)}
        asked = [name for name in asked if name not in there]
    return [name for name in GOALS if name in asked]


def _sign_is_right(one: Result) -> bool:
    """Whether ours is on the better side of the other; where the goal is to be about as good, not far from it."""
    if one.target is None:
        return True
    if one.better == "higher":
        return one.ratio > min(1.0, one.target / 2)
    return one.ratio < max(1.0, one.target)


if __name__ == "__main__":
    sys.exit(main())
