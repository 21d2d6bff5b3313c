"""Environments with nothing in them but what is named: links to what is installed here, so that nothing is copied."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

TORCHSERVE = ("torchserve", "torch", "pyyaml")  # what TorchServe and its workers need


def bare_environment(folder: Path, *packages: str, without: tuple[str, ...] = ()) -> Path:
    """The Python of a new environment that has these packages and what they require, and nothing else.

    Args:
        folder: to be made.
        packages: names of distributions, installed here.
        without: distributions that are left out, whoever requires them.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = (folder / "lib").glob("python3*/site-packages")
    for name in _required(packages, without):
        for top, path in _installed(name).items():
            if not (site / top).exists():
                (site / top).symlink_to(path)
    return folder / "bin" / "python"


def _required(packages: tuple[str, ...], without: tuple[str, ...]) -> set[str]:
    """Names of all distributions that are needed, at any remove."""
    names: set[str] = set()
    asked = [(Requirement(package), "") for package in packages]
    done: set[str] = set()
    while asked:
        wanted, extra = asked.pop()
        if wanted.name.lower() in without or (wanted.marker and not wanted.marker.evaluate({"extra": extra})):
            continue
        names.add(wanted.name)
        for more in ["", *wanted.extras]:
            if f"{wanted.name}[{more}]" not in done:
                done.add(f"{wanted.name}[{more}]")
                asked += [(Requirement(one), more) for one in distribution(wanted.name).requires or []]
    return names


def _installed(name: str) -> dict[str, Path]:
    """What a distribution has in site-packages, by its name there."""
    files = distribution(name).files or []
    tops = {file.parts[0]: Path(str(file.locate())).parents[len(file.parts) - 2] for file in files if len(file.parts) > 1}
    single = {file.parts[0]: Path(str(file.locate())) for file in files if len(file.parts) == 1}
    return {top: path for top, path in (tops | single).items() if top not in ("..", "__pycache__")}
