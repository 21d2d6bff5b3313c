"""What a precision is worth: ResNet-18 with random weights by each runtime in fp32, bf16 and int8, in turns."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import torch
from formats import write_spec
from rich.table import Table

from marina import paths
from marina.console import out, run, step
from marina.paths import Store
from marina.store.build import Order, build, saying

sys.path.append(str(paths.HANDLERS))  # runtimes are measured as a worker has them
from handlerkit import machine
from handlerkit.runtimes import Runtime, Setting, load_runtime

FIRST = ("torchscript", "fp32")  # what the others are compared with
FORMATS = [
    FIRST,
    ("torchscript", "bf16"),
    *((runtime, precision) for runtime in ("aotinductor", "openvino") for precision in ("fp32", "bf16", "int8")),
    ("onnx", "fp32"),
    ("onnx", "int8"),
]
BATCHES = (1, 8)
WARM_UPS = 3


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=30, help="of all formats, one after the other (%(default)s)")
    options.add_argument("--json", action="store_true", help="print results as JSON")
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; returns its exit code."""
    return run(lambda: _measure(parser().parse_args(argv)))


def _measure(options: argparse.Namespace) -> int:
    torch.set_num_threads(machine.cores())
    with tempfile.TemporaryDirectory(prefix="marina-benchmark-") as name:
        runtimes = _load(Path(name))
        seconds: dict[tuple[str, str, int], list[float]] = {}
        for batch in BATCHES:
            images = torch.randn(batch, 3, 224, 224)
            for number in range(-WARM_UPS, options.rounds):
                for (runtime, precision), loaded in runtimes.items():
                    taken = _seconds(loaded, images)
                    if number >= 0:
                        seconds.setdefault((runtime, precision, batch), []).append(taken)
            step(f"batches of {batch}: {options.rounds} rounds")
    _show(seconds, options.json)
    return 0


def _load(folder: Path) -> dict[tuple[str, str], Runtime]:
    found, store = write_spec(folder / "resnet18", "resnet18", FORMATS), Store(folder / "store")
    runtimes: dict[tuple[str, str], Runtime] = {}
    for version, wanted in found.spec.versions.items():
        order = Order(found, version, random=True)
        archive = store.archives / build(order, store, saying(order.name)).archive
        with zipfile.ZipFile(archive) as file:
            file.extractall(folder / version)
        model = json.loads((folder / version / "MAR-INF" / "MANIFEST.json").read_text())["model"]
        setting = Setting(
            folder / version, model["serializedFile"], model.get("modelFile"), threads=machine.cores(), precision=wanted.precision
        )
        runtimes[wanted.runtime, wanted.precision] = load_runtime(wanted.runtime, setting)
    return runtimes


def _seconds(runtime: Runtime, images: torch.Tensor) -> float:
    started = time.perf_counter()
    runtime.run(images)
    return time.perf_counter() - started


def _show(seconds: dict[tuple[str, str, int], list[float]], as_json: bool) -> None:
    rows: list[dict[str, Any]] = []
    for (runtime, precision, batch), taken in seconds.items():
        ratio = statistics.median(first / one for first, one in zip(seconds[*FIRST, batch], taken, strict=True))
        rows.append(
            {"runtime": runtime, "precision": precision, "batch": batch, "seconds": statistics.median(taken), "times": ratio}
        )
    if as_json:
        out.print(json.dumps(rows))
        return
    table = Table("runtime", "precision", "batch", "ms, median", "times as fast", box=None, pad_edge=False)
    for row in rows:
        milliseconds, times = f"{row['seconds'] * 1000:.1f}", f"{row['times']:.2f}"
        table.add_row(row["runtime"], row["precision"], str(row["batch"]), milliseconds, times)
    out.print(table)


if __name__ == "__main__":
    sys.exit(main())
