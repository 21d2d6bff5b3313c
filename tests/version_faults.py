"""Versions that should never have been built, brought to a house as a person would bring them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from memory_group import memory_group
from scripts_of_ours import Ended, run_script
from servers import Serving
from third_digits import WORSE_FAULTS, write_third_digits

from marina import paths

MEMORY_BYTES = 1 << 30


def build_them(house: Serving) -> None:
    """All of them, once: no build can tell what is wrong with them."""
    folder = house.store.folder / "bad-digits"
    if folder.exists():
        return
    spec = write_third_digits(folder, house.store, WORSE_FAULTS)
    done = run_script("build_mar", spec, "--store", house.store.folder)
    assert done.code == 0, done.err


def bring(version: str, refusal: str) -> Callable[[Serving], None]:
    """It is applied with a share of the requests; the apply says why it does not come into service."""

    def strike(house: Serving) -> None:
        done = apply(house, deployment(house, {"1.0": 40.0, "2.0": 40.0, version: 20.0}, {version: None}))
        assert done.code == 1, done.err
        assert re.search(refusal, done.error), done.error
        put_back(house)

    return strike


def bring_a_greedy_one(house: Serving, version: str, refusal: str) -> None:
    """What TorchServe starts has a gigabyte of memory, as in a container that is small for it."""
    with memory_group([house.java()], MEMORY_BYTES) as killed:
        bring(version, refusal)(house)
        assert killed() >= 1


def apply_another(house: Serving) -> None:
    """The split moves, and an arm with weight is registered again; then all as it was."""
    done = run_script("apply_deployment", *another_deployment(house), environment=house.environment)
    assert done.code == 0, done.err
    put_back(house)


def another_deployment(house: Serving) -> list[str | Path]:
    """The arguments by which another deployment is applied."""
    return _arguments(house, deployment(house, {"1.0": 20.0, "2.0": 80.0}, {"2.0": {"batch_size": 4}}))


def deployment(house: Serving, weights: dict[str, float], versions: dict[str, Any]) -> Path:
    """A file with these versions beside, or in place of, those that are shipped."""
    digits = {"default": "1.0", "versions": {"1.0": None, "2.0": None} | versions, "split": {"weights": weights}}
    file = house.store.folder / "deployment.yaml"
    file.write_text(json.dumps({"models": {"digits": digits}}))
    return file


def apply(house: Serving, file: Path) -> Ended:
    """As a person applies it."""
    return run_script("apply_deployment", *_arguments(house, file), environment=house.environment)


def put_back(house: Serving) -> None:
    """What is shipped runs again, and nothing else."""
    done = apply(house, paths.DEPLOYMENT)
    assert done.code == 0, done.err


def _arguments(house: Serving, file: Path) -> list[str | Path]:
    return ["--deployment", file, "--store", house.store.folder, "--state", house.folder / "state"]
