"""Does the search of tune_model.py find the best? Every point of a space is served, then the search runs, then both again."""

from __future__ import annotations

import argparse
import io
import json
import random
import statistics
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from formats import write_spec
from PIL import Image

from marina import paths
from marina.console import out, run, step
from marina.measuring.comparing import median_interval
from marina.paths import State, Store
from marina.remembering import replace_whole
from marina.serving.payloads import Payload
from marina.store.spec import SpecFile, find_spec
from marina.tuning.archives import Archives, Weights, own_store
from marina.tuning.asking import Asked
from marina.tuning.formats import versions_by_format
from marina.tuning.journal import Kept, Tried
from marina.tuning.machine import this_machine
from marina.tuning.objective import Objective
from marina.tuning.result import Against, median_of
from marina.tuning.search import Search
from marina.tuning.space import Choice, Format, Point, Space, layouts
from marina.tuning.trial import Trial
from marina.tuning.tuner import Clock, Tuner

NETWORK = "resnet18"
FORMATS = (
    Format(runtime="openvino", precision="int8"),
    Format(runtime="openvino", precision="bf16"),
    Format(runtime="openvino", precision="fp32"),
    Format(runtime="onnx", precision="fp32"),
    Format(runtime="torchscript", precision="bf16", channels_last=True),
    Format(runtime="onnx", precision="int8"),
    Format(runtime="torchscript", precision="fp32", channels_last=True),
)
BATCHES = (1, 4, 8, 16)
OBJECTIVE = Objective(goal="throughput", connections=16)
RESULTS = paths.ROOT / "benchmarks" / "results" / "tuning.json"
BEST = 5  # of the survey, that are measured again
ROUNDS = 6
SEED = 7


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--build", action="store_true", help="build the archives alone, which measures nothing")
    options.add_argument("--seconds", type=float, default=3e5, help="stop after so long; the same command goes on from there")
    options.add_argument("--state", type=Path, default=State().folder / "benchmark-tuning", help="what is kept (%(default)s)")
    options.add_argument("--results", type=Path, default=RESULTS, help="where the surface is written (%(default)s)")
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark, or go on with it; returns the exit code: 3 where something is left to measure."""
    return run(lambda: _measure(parser().parse_args(argv)))


def _measure(options: argparse.Namespace) -> int:
    end = time.monotonic() + options.seconds
    space = Space(formats=FORMATS, layouts=layouts(this_machine().cores), batches=BATCHES)
    folder = options.state.resolve()
    archives = _archives(folder)
    asked = Asked((Payload("noise.jpg", _picture()),), OBJECTIVE.connections)
    with Trial(archives, folder / "logs") as trial:
        survey, search, finals = (
            Tuner(space, archives, asked, Kept(folder / f"{name}.json", NETWORK, this_machine()), trial, Clock())
            for name in ("survey", "search", "finals")
        )
        for one in (survey, search):
            one.build()
        if options.build:
            return 0
        done = _survey(survey, space, end) and _search(search, space, end) and _finals(finals, survey, search, space, end)
    if not done:
        step("the same command goes on from here")
        return 3
    _show(survey, search, finals, space, options.results)
    return 0


def _picture() -> bytes:
    """A JPEG of 640 × 480 pixels and 65 KB."""
    drawn = np.random.default_rng(SEED).integers(0, 256, (30, 40, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(drawn).resize((640, 480), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


def _archives(folder: Path) -> Archives:
    """ResNet-18 with random weights in every format."""
    found = _spec(folder / "spec")
    store = own_store(folder / "store", Store(folder / "weights"))
    return Archives(versions_by_format(found, "torchscript-fp32", FORMATS), store, Weights(random=True))


def _spec(folder: Path) -> SpecFile:
    return find_spec(str(folder)) if folder.is_dir() else write_spec(folder, NETWORK, [("torchscript", "fp32")])


def _survey(survey: Tuner, space: Space, end: float) -> bool:
    """Serve every point once, in no order that a drift of the machine could be taken for; whether all were."""
    points = space.points()
    random.Random(SEED).shuffle(points)  # noqa: S311 - the same order each time
    left = [point for point in points if survey.kept.journal.at(point) is None]
    for number, point in enumerate(left):
        if time.monotonic() > end - survey.clock.point_s:
            return False
        survey.kept.add(survey.measured(point))
        step(f"{len(points) - len(left) + number + 1} of {len(points)}: {point}")
    return True


def _search(search: Tuner, space: Space, end: float) -> bool:
    """The search, by measurements of its own; whether it ended."""
    search.clock.budget_s = max(1.0, end - time.monotonic())
    looking = Search(space, OBJECTIVE, search)
    search.most = looking.most
    looking.run()
    return looking.is_done


def _finals(finals: Tuner, survey: Tuner, search: Tuner, space: Space, end: float) -> bool:
    """The best of the survey and ours, in turns; whether all rounds were."""
    points = list(dict.fromkeys([*_best(survey.kept.journal.tried)[:BEST], _ours(search, space)]))
    while len(finals.kept.journal.rounds) < ROUNDS:
        if time.monotonic() > end - len(points) * finals.clock.point_s:
            return False
        order = points if len(finals.kept.journal.rounds) % 2 == 0 else points[::-1]
        finals.kept.add_round(tuple(finals.measured(point) for point in order))
    return True


def _ours(search: Tuner, space: Space) -> Point:
    """What the search found."""
    return Search(space, OBJECTIVE, search).run()[0]


def _best(tried: Iterable[Tried]) -> list[Point]:
    served = {one.point: one.served for one in tried if one.served}
    return sorted(served, key=lambda point: OBJECTIVE.rank(served[point]), reverse=True)


def _show(survey: Tuner, search: Tuner, finals: Tuner, space: Space, results: Path) -> None:
    """Print how near ours is to the best, and write the surface that a test searches again."""
    rounds, ours = finals.kept.journal.rounds, _ours(search, space)
    medians = {point: served for point in dict.fromkeys(one.point for one in rounds[0]) if (served := median_of(rounds, point))}
    best = max((point for point in medians if point != ours), key=lambda point: OBJECTIVE.rank(medians[point]))
    near = median_interval([_throughput(one, ours) / _throughput(one, best) for one in rounds])
    against = Against(median=near.median, low=near.low, high=near.high, confidence=near.confidence)
    tried = len(search.kept.journal.tried)
    for point, served in medians.items():
        step(f"{served.throughput:.1f} a second: {point}" + " (ours)" * (point == ours))
    out.print(f"{tried} of {len(space.points())} points were served; ours over the best of the survey: {against}", markup=False)
    document = {
        "machine": survey.kept.journal.machine.model_dump(),
        "began": f"{survey.kept.journal.began:%Y-%m-%d}",
        "objective": OBJECTIVE.model_dump(),
        "space": space.model_dump(),
        "alone": search.kept.journal.alone,
        "survey": survey.kept.journal.tried,
        "search": search.kept.journal.tried,
        "finals": [one for measured in rounds for one in measured],
        "ours": ours.model_dump(),
        "best": best.model_dump(),
        "ratio": against.model_dump(),
    }
    replace_whole(results, _lines(document))


def _lines(document: dict[str, Any]) -> str:
    """A JSON document with a line for each key, and for each entry of a list."""
    parts = [
        f"{json.dumps(key)}: {_list(value) if isinstance(value, (list, tuple)) else json.dumps(value)}"
        for key, value in document.items()
    ]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _list(entries: Iterable[Choice]) -> str:
    return "[\n" + ",\n".join(one.model_dump_json(exclude_defaults=True) for one in entries) + "\n]"


def _throughput(measured: Iterable[Tried], point: Point) -> float:
    return statistics.fmean(one.served.throughput for one in measured if one.point == point and one.served)


if __name__ == "__main__":
    sys.exit(main())
