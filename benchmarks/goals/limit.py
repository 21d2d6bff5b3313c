"""The limit of this machine: what one process does without a server, and what TorchServe does without a model."""

from __future__ import annotations

import os
from contextlib import ExitStack

from goals import noop
from goals.bench import Bench, Compared
from goals.best import INT8
from goals.pictures import photograph
from goals.results import Result
from goals.without_server import unpacked, without_server
from marina.console import step

WAYS = ("in-turn", "beside")


def limit(bench: Bench) -> list[Result]:
    """Ours against 1/(1/L + 1/N): L the decoding and the network in one process, N the no-op handler with the same requests."""
    kept, picture = bench.kept, photograph(bench.kept.pictures)
    sent = kept.folder / "small.jpg"
    sent.write_bytes(picture)
    threads = {"in-turn": os.cpu_count() or 1, "beside": 1}
    folders = {way: unpacked(kept, kept.ours("resnet18", INT8.runtime, INT8.precision, count)) for way, count in threads.items()}
    found: dict[str, list[float]] = {name: [] for name in ("ours", "nothing", *WAYS)}
    with ExitStack() as stack:
        ours = bench.serve(stack, "ours", INT8.archive(kept), INT8.serving)
        nothing = bench.serve(stack, "nothing", noop.stock_archive(kept), noop.SERVING)
        loads = {"ours": bench.case(ours, [picture]), "nothing": bench.case(nothing, [picture])}
        alone = {way: without_server(way, folders[way], sent, INT8.serving.batch_size, bench.seconds) for way in WAYS}
        for case in loads.values():
            case()  # uncounted, while Java compiles itself
        for _ in range(bench.rounds):
            for name, rates in found.items():
                rates.append(loads[name]().throughput if name in loads else alone[name]())
                step(f"{name}: {rates[-1]:.1f} a second")
    return _results(found)


def _results(found: dict[str, list[float]]) -> list[Result]:
    most = [max(ways) for ways in zip(*(found[way] for way in WAYS), strict=True)]
    limits = [1 / (1 / one + 1 / server) for one, server in zip(most, found["nothing"], strict=True)]
    detail = {"L": most, "N": found["nothing"], **{way: found[way] for way in WAYS}}
    what = "ResNet-18, 65 KB JPEG, 16 connections"
    return [
        Compared(f"{what}: the limit 1/(1/L + 1/N)", "limit", 0.95).result(found["ours"], limits, detail),
        Compared(f"{what}: L alone, no server", "limit", None).result(found["ours"], most),
    ]
