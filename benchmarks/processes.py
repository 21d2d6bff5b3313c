"""How many inputs a second predict_batch.py computes by one, two and four processes: the same images, in rounds."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from sklearn.datasets import load_digits

from marina import paths
from marina.console import out, run, step
from marina.errors import MarinaError
from marina.paths import Store

PROCESSES = (1, 2, 4)
SIDE = 160  # pixels


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("model", nargs="?", default="digits", help="a model that takes images (%(default)s)")
    options.add_argument("--version", help="of the model (the first that is built)")
    options.add_argument("--images", type=int, default=10_000, help="how many (%(default)s)")
    options.add_argument("--rounds", type=int, default=3, help="(%(default)s)")
    options.add_argument("--store", type=Path, default=Store().folder, help="folder of the store (%(default)s)")
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: _measure(parser().parse_args(argv)))


def _measure(options: argparse.Namespace) -> int:
    rates: dict[int, list[float]] = {processes: [] for processes in PROCESSES}
    with tempfile.TemporaryDirectory() as name:
        images = _write_images(Path(name) / "images", options.images)
        for _ in range(options.rounds):
            for processes in PROCESSES:
                told = _predict(options, images, Path(name) / "out.parquet", processes)
                rates[processes].append(told["computed"] / told["seconds"])
                step(f"{processes} processes: {rates[processes][-1]:.0f} a second")
    _show(rates)
    return 0


def _write_images(folder: Path, count: int) -> Path:
    """Digits of scikit-learn's as PNG files, each of another brightness than the last of its kind."""
    from PIL import Image

    folder.mkdir()
    digits = load_digits().images / 16 * 255
    for index in range(count):
        pixels = (digits[index % len(digits)] * (1 - 0.02 * (index // len(digits) % 20))).astype(np.uint8)
        Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.NEAREST).save(folder / f"{index:06}.png")
    return folder


def _predict(options: argparse.Namespace, images: Path, output: Path, processes: int) -> dict[str, Any]:
    command = [sys.executable, str(paths.ROOT / "scripts" / "predict_batch.py"), options.model, str(images), "--force", "--json"]
    command += ["--output", str(output), "--processes", str(processes), "--store", str(options.store)]
    command += ["--version", options.version] if options.version else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MarinaError(done.stderr.strip().splitlines()[-1])
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _show(rates: dict[int, list[float]]) -> None:
    table = Table("processes", "inputs a second, each round", "median ratio", box=None)
    for processes, found in rates.items():
        ratios = [rate / first for rate, first in zip(found, rates[1], strict=True)]
        table.add_row(str(processes), " / ".join(f"{rate:.0f}" for rate in found), f"{statistics.median(ratios):.2f}")
    out.print(table)


if __name__ == "__main__":
    sys.exit(main())
