"""Scripts that run beside a test, to be killed when they say what they do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from marina import paths


@contextmanager
def script(name: str, *arguments: str | Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A script of ours that runs; results and progress are one stream. It is waited for at the end."""
    command = [sys.executable, str(paths.ROOT / "scripts" / f"{name}.py"), *map(str, arguments)]
    with subprocess.Popen(
        command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        yield process


def kill_at_step(process: subprocess.Popen[str], number: int) -> bool:
    """Kill an apply as soon as it says that it takes a step; returns whether it was killed, not done before."""
    assert process.stdout is not None
    steps = (line for line in process.stdout if "READY, and answers" not in line and "stands, by the" not in line)
    told = [line for line, _ in zip(steps, range(number), strict=False)]
    assert not any("Traceback" in line or line.startswith("error: ") for line in told), told
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL
