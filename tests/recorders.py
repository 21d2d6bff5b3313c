"""A real recorder for tests: ``scripts/record_traffic.py`` in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from marina import paths
from marina.paths import State
from marina.serving.free_ports import free_ports
from marina.serving.polling import wait_for

SCRIPT = paths.ROOT / "scripts" / "record_traffic.py"
START_SECONDS = 30


@dataclass
class Recording:
    """A started recorder."""

    process: subprocess.Popen[bytes]
    url: str
    output: Path

    def post(self, content: str | bytes, kind: str = "application/json", **headers: str) -> requests.Response:
        """Send outcomes."""
        return requests.post(f"{self.url}/outcomes", data=content, headers={"Content-Type": kind, **headers}, timeout=30)

    def metric(self, name: str) -> float:
        """The value of one of its counters."""
        lines = requests.get(f"{self.url}/metrics", timeout=30).text.splitlines()
        return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"marina_recorder_{name} "))

    def is_up(self) -> bool:
        """Whether it answers at all."""
        try:
            requests.get(f"{self.url}/healthz", timeout=5)
        except requests.RequestException:
            return self.process.poll() is not None
        return True

    def kill(self) -> None:
        """End it at once, whatever it does."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Stop it as Ctrl-C does, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


@contextmanager
def recording(
    state: State, *arguments: str | Path, gateway: str = "http://127.0.0.1:1", wait: bool = True
) -> Iterator[Recording]:
    """Start one; it is stopped, whatever happens."""
    port = free_ports().recorder_port
    command = [
        sys.executable,
        str(SCRIPT),
        "--state",
        str(state.folder),
        "--port",
        str(port),
        "--gateway",
        gateway,
        *map(str, arguments),
    ]
    output = state.folder.parent / f"recorder-{port}"
    with output.open("wb") as file:
        process = subprocess.Popen(command, env=os.environ, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
    started = Recording(process, f"http://127.0.0.1:{port}", output)
    try:
        if wait:
            assert wait_for(started.is_up, START_SECONDS)
            assert process.poll() is None, output.read_text()
        yield started
    finally:
        started.stop()
