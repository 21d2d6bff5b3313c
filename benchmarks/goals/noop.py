"""Handlers that do nothing: what TorchServe itself takes for a request, and what our base class adds to it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from ruamel.yaml import YAML

from goals.bench import Bench, Compared, in_turns
from goals.best import INT8
from goals.networks import Kept
from goals.results import Result
from goals.torchserves import Serving
from goals.without_server import unpacked, without_server

SMALL = b"nothing to do " * 8
SERVING = Serving(workers=1, batch_size=INT8.serving.batch_size, delay_ms=INT8.serving.delay_ms)
STOCK = '''"""Answers as soon as it is asked, as TorchServe's documentation writes a class of one's own."""


class Nothing:
    def initialize(self, context):
        self.initialized = True

    def handle(self, data, context):
        return [{"ok": True}] * len(data)
'''
OURS = '''"""Answers as soon as it is asked, by our base class."""

import torch
from handlerkit import BadRequest, ModelHandler


class Nothing(ModelHandler):
    def preprocess(self, batch):
        for row in batch:
            if row["body"].startswith(b"\\xff no input"):  # with which the build tries every archive
                row.refuse(BadRequest("This is no input of any model."))
        return torch.zeros(len(batch), 1)

    def inference(self, inputs):
        return inputs

    def postprocess(self, outputs, batch):
        return [{"ok": True}] * len(batch)
'''
NETWORK = """from torch import nn


class Same(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(1, 1)

    def forward(self, numbers):
        return self.linear(numbers)
"""


def stock_archive(kept: Kept) -> str:
    """The file name of TorchServe's own, that does nothing."""
    if not (kept.store.archives / "stock-nothing.mar").exists():
        handler = kept.folder / "stock_nothing.py"
        kept.folder.mkdir(parents=True, exist_ok=True)
        handler.write_text(STOCK)
        kept.archive("stock-nothing", str(handler))
    return "stock-nothing.mar"


def our_archive(kept: Kept, version: str = "1") -> str:
    """The file name of ours, that does nothing; versions differ by their names alone."""
    return kept.build(write_spec(kept, version), version)


def write_spec(kept: Kept, version: str = "1") -> Path:
    """The folder of its spec, with that version alone."""
    folder = kept.folder / "specs" / "nothing"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("nothing.py", OURS), ("network.py", NETWORK), ("sample.txt", SMALL.decode())):
        (folder / name).write_text(text)
    one = {"source": {"network": "network.py", "weights": "random"}, "runtime": "torchscript", "threads": 1}
    spec = {
        "name": "nothing",
        "description": "Answers without a look at what it is asked.",
        "handler": "nothing.py",
        "input": [1],
        "sample": {"request": "sample.txt"},
        "versions": {version: one},
    }
    with (folder / "model.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump(spec, file)
    return folder


def noop(bench: Bench) -> list[Result]:
    """Both through TorchServe by the same configuration, and both without it."""
    kept = bench.kept
    with ExitStack() as stack:
        ours = bench.serve(stack, "ours", our_archive(kept), SERVING)
        stock = bench.serve(stack, "stock", stock_archive(kept), SERVING)
        rounds = bench.in_turns({"ours": bench.case(ours, [SMALL]), "stock": bench.case(stock, [SMALL])})
    goal = Compared("no-op handler, 16 connections: lower end of the ratio to the stock no-op", "noop", 0.95, unit="requests/s")
    through = goal.of(rounds, "ours", "stock", "throughput", {"serving": str(SERVING)})
    lowest = Result(**vars(through) | {"ratio": through.low, "detail": through.detail | {"median_ratio": through.ratio}})
    return [lowest, _cost(bench)]


def _cost(bench: Bench) -> Result:
    """Microseconds of a request in the handler alone; what is added is the difference."""
    picture = bench.kept.folder / "small"
    picture.write_bytes(SMALL)
    cases = {
        name: without_server("handle", unpacked(bench.kept, archive), picture, 1, bench.seconds)
        for name, archive in (("ours", our_archive(bench.kept)), ("stock", stock_archive(bench.kept)))
    }
    found = in_turns(cases, bench.rounds)
    goal = Compared("no-op handler alone, without TorchServe: a request", "noop", None, "lower", "µs")
    added = [ours - stock for ours, stock in zip(found["ours"], found["stock"], strict=True)]
    return goal.result(found["ours"], found["stock"], {"added_microseconds": added})
