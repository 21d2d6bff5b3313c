"""Integrated gradients: ours with 50 steps, TorchServe's own with 15; the time, and the reply's size."""

from __future__ import annotations

from contextlib import ExitStack

import requests

from goals.bench import Bench, Compared
from goals.best import SHIPPED
from goals.pictures import photograph
from goals.results import Result
from goals.torchserves import Serving
from marina.errors import MarinaError

STEPS = 50
EXPLAIN = {"method": "integrated_gradients", "steps": STEPS, "budget_seconds": 60.0}  # no step is left out for want of time
SERVING = Serving(workers=1)
THREADS = 2


def explanations(bench: Bench) -> list[Result]:
    """One caller, one picture after the other."""
    kept, picture = bench.kept, photograph(bench.kept.pictures)
    archive = kept.ours("resnet18", "torchscript", "bf16", THREADS, explain=EXPLAIN)
    with ExitStack() as stack:
        ours = bench.serve(stack, "ours", archive, SERVING).at("/explanations/model")
        stock_serving = Serving(1, SHIPPED.batch_size, SHIPPED.delay_ms)
        stock = bench.serve(stack, "stock", kept.stock("resnet18"), stock_serving, shipped=True).at("/explanations/model")
        sizes = {name: _bytes(one.address + "/explanations/model", picture) for name, one in (("ours", ours), ("stock", stock))}
        cases = {"ours": bench.case(ours, [picture], 1), "stock": bench.case(stock, [picture], 1)}
        rounds = bench.in_turns(cases)
    what = f"integrated gradients, {STEPS} steps in bf16, stock's 15"
    return [
        Compared(f"{what}: p50, 1 connection", "explanations", 1.0, "lower", "s").of(rounds, "ours", "stock", "p50"),
        Compared(f"{what}: size of the reply", "explanations", 1 / 50, "lower", "bytes").result(
            [sizes["ours"]], [sizes["stock"]]
        ),
    ]


def _bytes(url: str, picture: bytes) -> float:
    answer = requests.post(url, data=picture, timeout=120)
    if not answer.ok:
        raise MarinaError(f"{url} answers {answer.status_code}: {answer.text[:300]}")
    return float(len(answer.content))
