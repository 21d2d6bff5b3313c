"""The commands of docs/roads.md: which test runs which, and how they are typed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from documents import Command, commands

from marina import paths
from marina.paths import Store

COMMANDS = commands(paths.ROOT / "docs" / "roads.md")
EXPORTS = [one for one in COMMANDS if "export_model.py" in one.line]
CPP = [one for one in COMMANDS if "digits-cpp" in one.line]  # from the export to the program's answer
EDGE = [one for one in EXPORTS if "executorch" in one.line]  # needs make setup-roads
ELSEWHERE = {
    "python scripts/serve_flask.py digits": "tests/serve/test_flask.py",
    "python scripts/predict_batch.py digits": "tests/build/test_predict_batch.py",
    "python -m pip install executorch": "tests/roads_environment.py",
}


def type_all(typed: Sequence[Command], folder: Path, store: Store, python: str = sys.executable) -> None:
    """Type commands in bash, one after the other, where scripts/ is as in a clone; each must print what the document says.

    Scripts are given a store of the test's own; ``python`` is the one of an environment that is activated.
    """
    if not (folder / "scripts").exists():
        (folder / "scripts").symlink_to(paths.ROOT / "scripts")
    for command in typed:
        line = with_store(command.line, store)
        variables = os.environ | {"PATH": f"{Path(python).parent}:{os.environ['PATH']}", "PYTHONPATH": str(paths.ROOT)}
        done = subprocess.run(["bash", "-c", line], cwd=folder, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"$ {command.line}\n{done.stderr}"
        assert command.printed(done.stdout), f"$ {command.line}\nsaid:\n{command.output}\nprinted:\n{done.stdout}"


def with_store(line: str, store: Store) -> str:
    """The line, where it is a script's, with that store."""
    return f"{line} --store {store.folder}" if "scripts/" in line else line
