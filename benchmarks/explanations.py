"""What one explanation a second costs the predictions beside it: by the same workers, and by workers of their own."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from rich.table import Table
from ruamel.yaml import YAML
from running import Callers, served

from marina import paths
from marina.console import out, run, step

PREDICTIONS_PER_SECOND = 8.0
SAMPLE = paths.SPECS / "resnet18-imagenet" / "shapes.jpg"
SITUATIONS = {"no explanations": None, "by the same worker": "resnet18", "by a worker of their own": "resnet18-explained"}


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=3, help="of all situations, one after the other (%(default)s)")
    options.add_argument("--seconds", type=float, default=20, help="of one situation in a round (%(default)s)")
    options.add_argument("--json", action="store_true", help="print results as JSON")
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; returns its exit code."""
    return run(lambda: _measure(parser().parse_args(argv)))


def _measure(options: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="marina-benchmark-") as name:
        folder, store = Path(name) / "resnet18", Path(name) / "store"
        _build(folder, store)
        one: dict[str, Any] = {"spec": str(folder), "default": "1", "versions": {"1": {"workers": 1}}}
        with served({"models": {"resnet18": one, "resnet18-explained": one | {"of": "resnet18"}}}, store) as address:
            p99 = {situation: [0.0] * options.rounds for situation in SITUATIONS}
            for number in range(options.rounds):
                for situation, explained in SITUATIONS.items():
                    p99[situation][number] = _p99(address, explained, options.seconds)
                    step(f"round {number + 1}, {situation}: p99 {p99[situation][number] * 1000:.0f} ms")
    _show(p99, options.json)
    return 0


def _build(folder: Path, store: Path) -> None:
    """ResNet-18 with random weights, for one thread, so that two workers have a core each."""
    folder.mkdir()
    (folder / "shapes.jpg").write_bytes(SAMPLE.read_bytes())
    spec = {
        "name": "resnet18",
        "description": "ResNet-18 for the benchmark of explanations.",
        "handler": "image_classifier",
        "options": {"resize": 256, "size": [224, 224], "explain": {"budget_seconds": 0.4}},
        "input": [3, 224, 224],
        "sample": {"request": "shapes.jpg"},
        "versions": {"1": {"source": {"torchvision": "resnet18"}, "runtime": "torchscript", "threads": 1}},
    }
    with (folder / "model.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump(spec, file)
    script = paths.ROOT / "scripts" / "build_mar.py"
    command = [sys.executable, str(script), str(folder), "--random-weights", "--store", str(store)]
    subprocess.run(command, check=True)


def _p99(address: str, explained: str | None, seconds: float) -> float:
    body = SAMPLE.read_bytes()
    predictions = Callers(f"{address}/predictions/resnet18", body, PREDICTIONS_PER_SECOND, connections=16)
    callers = [predictions]
    if explained:
        callers.append(Callers(f"{address}/explanations/{explained}", body, 1.0, connections=16))
    threads = [threading.Thread(target=one.run, args=(seconds,)) for one in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statistics.quantiles(predictions.latencies, n=100)[98]


def _show(p99: dict[str, list[float]], as_json: bool) -> None:
    first = p99[next(iter(SITUATIONS))]
    ratios = {name: statistics.median(one / two for one, two in zip(values, first, strict=True)) for name, values in p99.items()}
    if as_json:
        out.print(json.dumps({name: {"p99_seconds": p99[name], "ratio": ratios[name]} for name in p99}))
        return
    table = Table("explanations", "p99 of predictions, ms (each round)", "median ratio", box=None, pad_edge=False)
    for name, values in p99.items():
        table.add_row(name, " / ".join(f"{value * 1000:.0f}" for value in values), f"{ratios[name]:.2f}")
    out.print(table)


if __name__ == "__main__":
    sys.exit(main())
