"""TorchServe's own handler, as well as it goes: what it may choose is batch, delay, workers and threads."""

from __future__ import annotations

import itertools
import json
from contextlib import ExitStack
from dataclasses import asdict

from goals.bench import Bench
from goals.pictures import photograph
from goals.torchserves import Serving, torchserve
from marina.console import step
from marina.measuring.load import Load, measure

SHARES = ((2, 1), (1, 2), (2, 2))  # workers, and threads of each
BATCHES, DELAYS = (1, 4, 8, 16), (1, 20)
SECONDS, WARM_UP = 4.0, 1.0
UNTRIED = Serving(workers=2, batch_size=8, delay_ms=1, threads=1)  # for a smoke run


def tuned(bench: Bench, network: str = "resnet18") -> Serving:
    """The settings by which it answers most in a short trial of all; kept with all trials in the benchmark's folder."""
    if bench.smoke:
        return UNTRIED
    file = bench.kept.folder / f"tuned-{network}.json"
    if not file.exists():
        trials = [asdict(serving) | {"images_per_second": rate} for serving, rate in _trials(bench, network)]
        file.write_text(json.dumps(trials, indent=1))
    best = max(json.loads(file.read_text()), key=lambda one: one["images_per_second"])
    best.pop("images_per_second")
    return Serving(**best)


def _trials(bench: Bench, network: str) -> list[tuple[Serving, float]]:
    archive, picture = bench.kept.stock(network), photograph(bench.kept.pictures)
    found = []
    for workers, threads in SHARES:
        with ExitStack() as stack:
            server = stack.enter_context(torchserve(bench.kept.store, bench.logs / "tuning", shipped=True, threads=threads))
            for batch, delay in itertools.product(BATCHES, DELAYS):
                if batch == 1 and delay != DELAYS[0]:
                    continue  # a batch of one waits for nobody
                serving = Serving(workers, batch, delay, threads)
                target, _ = server.register(archive, serving)
                measured = measure(target.address, [target.asking(picture)], Load(16, None, SECONDS, WARM_UP))
                found.append((serving, measured.throughput))
                step(f"stock, {serving}: {measured.throughput:.1f} a second")
                server.unregister()
    return found
