"""docs/configuration.md, typed in as it stands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from documents import commands

from marina import paths

WRITTEN = "/tmp/"  # noqa: S108 - what the document says; the test puts a folder of its own in its place


def test_the_commands_print_what_the_document_says(tmp_path: Path) -> None:
    """With exit codes and all that goes to the terminal."""
    for command in commands(paths.ROOT / "docs" / "configuration.md"):
        done = subprocess.run(
            ["bash", "-c", command.line.replace(WRITTEN, f"{tmp_path}/")],
            cwd=paths.ROOT,
            env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        printed = done.stdout.replace(f"{tmp_path}/", WRITTEN)
        assert command.printed(printed), f"$ {command.line}\n{printed}"
