"""Processes that run beside a server: how one is ended, and what it said last."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path


def end(process: subprocess.Popen[bytes], grace_seconds: float) -> None:
    """Ask a process to end, and end it where it does not within the grace."""
    process.terminate()
    try:
        process.wait(grace_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def last_lines(log: Path, count: int) -> list[str]:
    """The last lines of a log; none where it cannot be read."""
    with contextlib.suppress(OSError):
        return log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]
    return []
