"""Build large networks with random weights in every format, and say how large, how quick and how near each is."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from ruamel.yaml import YAML

from marina import paths
from marina.console import out, run, step
from marina.errors import MarinaError, UsageError
from marina.paths import Store
from marina.store.build import Order, build, saying
from marina.store.exporters import RUNTIMES, check_version
from marina.store.spec import SpecFile, find_spec

NETWORKS = ("resnet18", "vgg16")
PRECISIONS = ("fp32", "bf16", "int8")
MEASURED = ("fp32", "int8")
CALIBRATED = 16
COLUMNS = ("network", "runtime", "precision", "archive, MB", "build, s", "load, s", "largest difference")
LOAD = """
import sys, time
from pathlib import Path
import torch
from marina import paths
from marina.store import preflight_worker
started = time.perf_counter()
folder, sys.argv = Path(sys.argv[1]), ["", "", ""]
preflight_worker.load(folder, str(paths.METRICS_CONFIG))
print(time.perf_counter() - started)
"""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--network", action="append", help=f"of torchvision; may stand several times ({' and '.join(NETWORKS)})")
    options.add_argument("--runtime", action="append", choices=RUNTIMES, help="may stand several times (all)")
    options.add_argument("--precision", action="append", choices=PRECISIONS, help="may stand several times (fp32 and int8)")
    options.add_argument("--json", action="store_true", help="print results as JSON")
    return options


def main(argv: list[str] | None = None) -> int:
    """Build them; returns the exit code: 1 where a format that should be there could not be built."""
    return run(lambda: _measure(parser().parse_args(argv)))


def _measure(options: argparse.Namespace) -> int:
    rows = []
    for network in options.network or NETWORKS:
        with tempfile.TemporaryDirectory(prefix="marina-formats-") as name:
            wanted = (options.runtime or RUNTIMES, options.precision or MEASURED)
            found = write_spec(Path(name) / network, network, list(itertools.product(*wanted)))
            for version in found.spec.versions:
                rows.append(_row(found, version, Store(Path(name) / "store")))
                step(" | ".join(map(str, rows[-1].values())))
    if options.json:
        out.print(json.dumps(rows))
        return int(any("failed" in row for row in rows))
    lines = [COLUMNS, ["---"] * len(COLUMNS), *(row.values() for row in rows)]
    out.print("\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines), markup=False)
    return int(any("failed" in row for row in rows))


def write_spec(folder: Path, network: str, formats: list[tuple[str, str]]) -> SpecFile:
    """A network of torchvision in those of the formats, each a runtime and a precision, that there are; with pictures."""
    (folder / "pictures").mkdir(parents=True)
    drawn = np.random.default_rng(1)
    for number in range(CALIBRATED):
        pixels = drawn.integers(0, 256, (8, 8, 3), np.uint8)
        picture = Image.fromarray(pixels).resize((256, 256), Image.Resampling.BICUBIC)
        picture.save(folder / "pictures" / f"{number:02}.png")
    versions = {
        f"{runtime}-{precision}": {"source": {"torchvision": network}, "runtime": runtime, "precision": precision}
        for runtime, precision in formats
    }
    spec = {
        "name": network,
        "description": f"torchvision's {network} with random weights.",
        "handler": "image_classifier",
        "options": {"size": [224, 224]},
        "input": [3, 224, 224],
        "sample": {"request": "pictures/00.png"},
        "calibration": {"requests": "pictures"},
        "tolerance": 0.1,
        "versions": versions,
    }
    with (folder / "model.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump(spec, file)
    found = find_spec(str(folder))
    return found.model_copy(update={"spec": found.spec.model_copy(update={"versions": _possible(found)})})


def _possible(found: SpecFile) -> dict[str, Any]:
    """The versions that are not refused for what they are."""
    possible = {}
    for name, version in found.spec.versions.items():
        try:
            check_version(version)
            possible[name] = version
        except UsageError:
            continue
    return possible


def _row(found: SpecFile, version: str, store: Store) -> dict[str, Any]:
    wanted = found.spec.versions[version]
    row: dict[str, Any] = {"network": found.spec.name, "runtime": wanted.runtime, "precision": wanted.precision}
    started = time.perf_counter()
    try:
        order = Order(found, version, random=True)
        entry = build(order, store, saying(order.name))
    except MarinaError as error:
        return row | {"failed": str(error)}
    seconds = time.perf_counter() - started
    archive = store.archives / entry.archive
    row |= {"megabytes": f"{entry.size_bytes / 1e6:.1f}", "build": f"{seconds:.0f}", "load": f"{_load_seconds(archive):.1f}"}
    archive.unlink()
    return row | {"difference": f"{entry.parity.largest_difference:.0e}" if entry.parity else "not measured"}


def _load_seconds(archive: Path) -> float:
    """Seconds from TorchServe's loader to a handler that has answered its sample, torch being imported already."""
    with tempfile.TemporaryDirectory(prefix="marina-load-") as name:
        with zipfile.ZipFile(archive) as file:
            file.extractall(name)
        environment = os.environ | {"PYTHONPATH": f"{name}{os.pathsep}{paths.ROOT}"}
        command = [sys.executable, "-c", LOAD, name]
        done = subprocess.run(command, cwd=name, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    sys.exit(main())
