"""TorchServe's own handler, as well as it goes: what it may choose is batch, delay, workers and threads."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from dataclasses import asdict

from goals.bench import Bench
from goals.pictures import photograph
from goals.torchserves import Serving, torchserve
from marina.console import step
from marina.measuring.load import Load, measure

SHARES = ((2, 1), (1, 2))  # workers, and threads of each: as many as there are cores
DELAYS = {1: (1,), 4: (1,), 8: (1, 20), 16: (1,)}  # by batch size; under load a queue makes the batch, without a delay
SECONDS, WARM_UP = 3.0, 1.0
UNTRIED = Serving(workers=2, batch_size=8, delay_ms=1, threads=1)  # for a smoke run


def tuned(bench: Bench, network: str = "resnet18") -> Serving:
    """The settings by which it answers most in short trials of all, there and back; the benchmark's folder keeps them."""
    if bench.smoke:
        return UNTRIED
    file = bench.kept.folder / f"tuned-{network}.json"
    if not file.exists():
        rates: dict[Serving, list[float]] = {}
        for backwards in (False, True):
            for workers, threads in SHARES[:: -1 if backwards else 1]:
                for serving, rate in _trials(bench, network, threads, _settings(workers, threads)[:: -1 if backwards else 1]):
                    rates.setdefault(serving, []).append(rate)
        file.write_text(json.dumps([asdict(serving) | {"images_per_second": rate} for serving, rate in rates.items()], indent=1))
    best = max(json.loads(file.read_text()), key=lambda one: statistics.fmean(one["images_per_second"]))
    return Serving(**{name: value for name, value in best.items() if name != "images_per_second"})


def _settings(workers: int, threads: int) -> list[Serving]:
    """All that share the machine so."""
    return [Serving(workers, batch, delay, threads) for batch, delays in DELAYS.items() for delay in delays]


def _trials(bench: Bench, network: str, threads: int, settings: list[Serving]) -> Iterator[tuple[Serving, float]]:
    archive, picture = bench.kept.stock(network), photograph(bench.kept.pictures)
    with torchserve(bench.kept.store, bench.logs / "tuning", shipped=True, threads=threads) as server:
        for serving in settings:
            target, _ = server.register(archive, serving)
            target.warm_up(picture, 3 * serving.workers)
            measured = measure(target.address, [target.asking(picture)], Load(16, None, SECONDS, WARM_UP))
            step(f"stock, {serving}: {measured.throughput:.1f} a second")
            server.unregister()
            yield serving, measured.throughput
