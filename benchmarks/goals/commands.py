"""Commands that a benchmark runs: what they print, or the end of what they say went wrong."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from marina.errors import MarinaError

SHOWN = 1500  # characters of what went wrong


def printed(command: Sequence[object], what: str, variables: Mapping[str, str] | None = None, folder: Path | None = None) -> str:
    """What a command prints.

    Args:
        command: the program and its arguments.
        what: is being done, for the message.
        variables: of the environment, beside ours.
        folder: to run it in.

    Raises:
        MarinaError: it fails.
    """
    environment = os.environ | dict(variables or {})
    done = subprocess.run([*map(str, command)], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MarinaError(f"{what}: {done.stderr[-SHOWN:] or done.stdout[-SHOWN:]}")
    return done.stdout
