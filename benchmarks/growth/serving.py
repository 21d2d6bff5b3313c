"""How throughput, latencies and memory go with callers, batch size, image size, models, versions and workers."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import psutil
from goals import noop
from goals.bench import Bench, machine_and_date
from goals.best import INT8
from goals.pictures import photograph
from goals.targets import Target, raw
from goals.torchserves import Server, Serving, torchserve

from growth.curve import Curve
from marina.console import step
from marina.measuring.comparing import Rounds
from marina.measuring.load import Load, measure

CONNECTIONS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
BATCHES = (1, 2, 4, 8, 16, 32)
IMAGES = ((160, 120), (320, 240), (640, 480), (1280, 960), (2560, 1920), (4000, 3000))
BYTES_PER_PIXEL = 0.25
VERSIONS = (1, 2, 4, 8, 16)
MEMORY_SHARE = 0.70
MOST_MODELS = 64


def connections(bench: Bench) -> Curve:
    """ResNet-18 in int8, a 65 KB JPEG."""
    picture = [photograph(bench.kept.pictures)]
    with ExitStack() as stack:
        target = bench.serve(stack, "ours", INT8.archive(bench.kept), INT8.serving)
        rounds = bench.in_turns({str(count): bench.case(target, picture, count) for count in CONNECTIONS})
    return Curve("connections", "connections", CONNECTIONS, _figures(rounds), machine_and_date())


def batches(bench: Bench) -> Curve:
    """The same model registered with each batch size, asked by twice as many connections as a batch has rows."""
    picture = [photograph(bench.kept.pictures)]
    with ExitStack() as stack:
        server = stack.enter_context(torchserve(bench.kept.store, bench.logs / "growth"))
        cases = {}
        for size in BATCHES:
            serving = dataclasses.replace(INT8.serving, batch_size=size)
            target, _ = server.register(INT8.archive(bench.kept), serving, f"batch-{size}")
            cases[str(size)] = bench.case(target, picture, max(16, 2 * size))
        rounds = bench.in_turns(cases)
    return Curve("batches", "rows in a batch, at most", BATCHES, _figures(rounds), machine_and_date())


def images(bench: Bench) -> Curve:
    """JPEG files of more and more pixels, 16 connections."""
    sent = {f"{width}x{height}": (width, height) for width, height in IMAGES}
    with ExitStack() as stack:
        target = bench.serve(stack, "ours", INT8.archive(bench.kept), INT8.serving)
        cases = {}
        for name, size in sent.items():
            content = photograph(bench.kept.pictures, size, int(size[0] * size[1] * BYTES_PER_PIXEL))
            cases[name] = bench.case(target, [content])
        rounds = bench.in_turns(cases)
    figures = _figures(rounds)
    figures["ms of a picture"] = [1000 / rate for rate in figures["images/s"]]
    return Curve("images", "megapixels", [width * height / 1e6 for width, height in IMAGES], figures, machine_and_date())


def models(bench: Bench) -> Curve:
    """One worker each, registered until 70 % of the memory is taken; each number asked by 16 connections that share all."""
    with ExitStack() as stack:
        server = stack.enter_context(torchserve(bench.kept.store, bench.logs / "growth"))
        archive = noop.our_archive(bench.kept)
        return _grown(bench, server, "models", [(archive, f"model-{number}", None) for number in range(MOST_MODELS)])


def versions(bench: Bench) -> Curve:
    """Versions of one model, one worker each."""
    names = [str(number + 1) for number in range(VERSIONS[-1])]
    archives = [(noop.our_archive(bench.kept, name), "model", name) for name in names]
    with ExitStack() as stack:
        server = stack.enter_context(torchserve(bench.kept.store, bench.logs / "growth"))
        return _grown(bench, server, "versions", archives)


def workers(bench: Bench) -> Curve:
    """What each worker of ResNet-18 in int8 takes, after all were asked."""
    counts = [1, 2, 3, 4, 6]
    own, all_of_it = [], []
    with ExitStack() as stack:
        server = stack.enter_context(torchserve(bench.kept.store, bench.logs / "growth"))
        target, _ = server.register(INT8.archive(bench.kept), INT8.serving)
        for count in counts:
            server.scale(count)
            measure(target.address, [target.asking(photograph(bench.kept.pictures))], Load(4 * count, None, 3.0, 0.0))
            taken = [process.memory_full_info() for process in server.workers()]
            own.append(statistics.mean(one.uss for one in taken) / 1e6)
            all_of_it.append(sum(one.pss for one in taken) / 1e6)
            step(f"{count} workers: {own[-1]:.0f} MB each of their own, {all_of_it[-1]:.0f} MB together")
    figures = {"MB of its own, a worker": own, "MB together": all_of_it}
    return Curve("workers", "workers", counts, figures, machine_and_date())


def _grown(bench: Bench, server: Server, name: str, archives: Sequence[tuple[str, str, str | None]]) -> Curve:
    """Registers more and more, and measures at each power of two and at the last."""
    xs: list[float] = []
    figures: dict[str, list[float]] = {"requests/s": [], "p99, ms": [], "s until READY, of one more": [], "MB of the machine": []}
    paths: list[str] = []
    for number, (archive, model, version) in enumerate(archives, 1):
        target, seconds = server.register(archive, Serving(1, 8, 1), model)
        paths.append(f"/predictions/{model}" + (f"/{version}" if version else ""))
        full = psutil.virtual_memory().percent / 100 > MEMORY_SHARE or number == len(archives)
        if full or math.log2(number).is_integer():
            xs.append(number)
            for figure, value in zip(figures, (*_spread(bench, target, paths), seconds, _used_megabytes()), strict=True):
                figures[figure].append(value)
            step(f"{number} {name}: {figures['requests/s'][-1]:.0f} a second, READY after {seconds:.1f} s")
        if full:
            break
    return Curve(name, name, xs, figures, machine_and_date())


def _spread(bench: Bench, target: Target, paths: list[str]) -> tuple[float, float]:
    """Requests a second, and the p99 in milliseconds, of requests to all paths in turn."""
    asked = [raw(path)(noop.SMALL) for path in paths]
    found = measure(target.address, asked, Load(16, None, bench.seconds, bench.warm_up_seconds))
    return found.throughput, found.percentile(99) * 1000


def _figures(rounds: Rounds) -> dict[str, list[float]]:
    """Medians over the rounds, in the order of the cases."""
    of: Mapping[str, list[list[float]]] = {
        "images/s": [[one.throughput for one in taken] for taken in rounds.measurements.values()],
        "p99, ms": [[one.percentile(99) * 1000 for one in taken] for taken in rounds.measurements.values()],
    }
    return {name: [statistics.median(values) for values in lists] for name, lists in of.items()}


def _used_megabytes() -> float:
    memory = psutil.virtual_memory()
    return (memory.total - memory.available) / 1e6
