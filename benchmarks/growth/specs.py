"""How long a build, a check and the applying of a deployment take with more and more specs."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import Any

from goals import noop
from goals.bench import Bench, machine_and_date
from goals.commands import printed
from goals.torchserves import torchserve
from ruamel.yaml import YAML

from growth.curve import Curve
from marina import paths
from marina.console import step
from marina.paths import Store

COUNTS = (1, 2, 4, 8, 16)
SCRIPTS = paths.ROOT / "scripts"


def specs(bench: Bench) -> Curve:
    """Small models, built, built again unchanged, checked, applied and applied again."""
    figures: dict[str, list[float]] = {}
    for count in COUNTS:
        folder = bench.kept.folder / "many" / str(count)
        shutil.rmtree(folder, ignore_errors=True)
        taken = _of(folder, [_copy(bench, folder, number) for number in range(count)], bench)
        for name, seconds in taken.items():
            figures.setdefault(f"{name}, s", []).append(seconds)
        step(f"{count} specs: " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in taken.items()))
    return Curve("specs", "specs", COUNTS, figures, machine_and_date())


def _of(folder: Path, made: list[Path], bench: Bench) -> dict[str, float]:
    store = Store(folder / "store")
    deployment = folder / "deployment.yaml"
    models: dict[str, Any] = {one.name: {"spec": str(one), "default": "1", "versions": {"1": {"workers": 1}}} for one in made}
    with deployment.open("w") as file:
        YAML(typ="safe", pure=True).dump({"models": models}, file)
    at = ["--store", store.folder]
    taken = {
        "build": _seconds("build_mar.py", *made, *at),
        "build, unchanged": _seconds("build_mar.py", *made, *at),
        "check": _seconds("check_store.py", *made, *at),
    }
    with torchserve(store, bench.logs / "growth") as server:
        where = ["--management", server.management.address, "--inference", server.address, "--state", folder / "state"]
        apply = ["--deployment", deployment, "--no-gateway", *where, *at]
        taken["apply"] = _seconds("apply_deployment.py", *apply)
        taken["apply, unchanged"] = _seconds("apply_deployment.py", *apply)
    return taken


def _seconds(script: str, *arguments: object) -> float:
    started = time.perf_counter()
    printed([sys.executable, SCRIPTS / script, *arguments], script)
    return time.perf_counter() - started


def _copy(bench: Bench, folder: Path, number: int) -> Path:
    """A spec of its own name, with random weights."""
    made = folder / f"nothing-{number}"
    shutil.copytree(noop.write_spec(bench.kept), made)
    yaml = YAML(typ="safe", pure=True)
    spec = yaml.load(made / "model.yaml")
    with (made / "model.yaml").open("w") as file:
        yaml.dump(spec | {"name": made.name}, file)
    return made
