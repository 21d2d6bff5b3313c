"""Measure how cost grows with callers, batches, images, models, versions, workers and specs, and draw it."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from goals.asked import named
from goals.bench import Bench
from goals.networks import Kept
from goals.results import between
from growth import serving
from growth.curve import Curve
from growth.specs import specs

from marina import paths
from marina.console import out, run, step
from marina.paths import State

CURVES: dict[str, Callable[[Bench], Curve]] = {
    "connections": serving.connections,
    "batches": serving.batches,
    "images": serving.images,
    "models": serving.models,
    "versions": serving.versions,
    "workers": serving.workers,
    "specs": specs,
}
FOLDER = paths.ROOT / "benchmarks" / "results"
PAGE = paths.ROOT / "benchmarks" / "README.md"
MARKERS = "<!-- growth: written by make growth -->", "<!-- end of growth -->"
ROUNDS, SECONDS, WARM_UP_SECONDS = 3, 8.0, 2.0


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--curves", default="", help=f"separated by commas, of {', '.join(CURVES)} (all of them)")
    options.add_argument("--rounds", type=int, default=ROUNDS, help="of all points of a curve (%(default)s)")
    options.add_argument("--seconds", type=float, default=SECONDS, help="of one point in a round (%(default)s)")
    options.add_argument("--warm-up", type=float, default=WARM_UP_SECONDS, help="seconds before them (%(default)s)")
    options.add_argument("--folder", type=Path, default=State().folder / "benchmark", help="for what is built (%(default)s)")
    return options


def main(argv: list[str] | None = None) -> int:
    """Measure and draw; returns the exit code."""
    options = parser().parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that servers under test are ended, as by Ctrl-C
    return run(lambda: _measure(options))


def _measure(options: argparse.Namespace) -> int:
    asked = named("--curves", options.curves, CURVES) or list(CURVES)
    bench = Bench(Kept(options.folder.resolve()), options.rounds, options.seconds, options.warm_up)
    for name in asked:
        step(f"curve {name}")
        curve = CURVES[name](bench)
        out.print(curve.table(), markup=False)
        _keep(curve)
    return 0


def _keep(curve: Curve) -> None:
    """Put the curve in place of an earlier one: in the results, its picture, and the page."""
    file = FOLDER / "growth.json"
    kept = {one["name"]: one for one in json.loads(file.read_text())} if file.exists() else {}
    kept[curve.name] = asdict(curve)
    FOLDER.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([kept[name] for name in CURVES if name in kept], indent=1) + "\n")
    curve.draw(FOLDER)
    curves = [Curve(**kept[name]) for name in CURVES if name in kept]
    between(PAGE, MARKERS, "\n\n".join(_section(one) for one in curves))


def _section(one: Curve) -> str:
    what = (CURVES[one.name].__doc__ or "").strip().splitlines()[0]
    picture = f"![{one.name}](results/growth-{one.name}.svg)"
    return f"### By {one.name}\n\n{what} {one.measured}.\n\n{picture}\n\n{one.table()}"


if __name__ == "__main__":
    sys.exit(main())
