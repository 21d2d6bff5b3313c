"""What every benchmark needs: a server of its own, and callers whose pace and latencies are known."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from ruamel.yaml import YAML

from marina import paths
from marina.errors import MarinaError
from marina.serving.free_ports import environment, free_ports
from marina.serving.polling import wait_for
from marina.serving.ports import Ports

START_SECONDS = 600
READY = "Ctrl-C stops it."


@contextmanager
def served(deployment: dict[str, Any], store: Path) -> Iterator[str]:
    """Serve a deployment without a gateway, on free ports until the block ends; gives the address of the Inference API."""
    with served_on_ports(deployment, store, "--no-gateway") as ports:
        yield f"http://127.0.0.1:{ports.inference_port}"


@contextmanager
def served_on_ports(deployment: dict[str, Any], store: Path, *arguments: str) -> Iterator[Ports]:
    """Serve a deployment on free ports until the block ends.

    Raises:
        MarinaError: it does not come up.
    """
    ports = free_ports()
    with tempfile.TemporaryDirectory(prefix="marina-benchmark-") as folder:
        written, output = Path(folder) / "deployment.yaml", Path(folder) / "output"
        with written.open("w") as file:
            YAML(typ="safe", pure=True).dump(deployment, file)
        command = [sys.executable, str(paths.ROOT / "scripts" / "serve_models.py"), "--deployment", str(written), *arguments]
        command += ["--store", str(store), "--logs", str(Path(folder) / "logs"), "--state", str(Path(folder) / "state")]
        with output.open("wb") as printed:
            process = subprocess.Popen(command, env=os.environ | environment(ports), stdout=printed, stderr=subprocess.STDOUT)
        try:
            wait_for(lambda: READY in output.read_text() or process.poll() is not None, START_SECONDS)
            if READY not in output.read_text():
                raise MarinaError(f"the server did not come up:\n{output.read_text()[-3000:]}")
            yield ports
        finally:
            process.terminate()
            process.wait(60)


class Callers:
    """Requests sent at a steady pace, whatever becomes of those before.

    Attributes:
        latencies: seconds from the moment a request was due to its answer, in the order of the answers.
        failures: status of each answer that was not 200.
    """

    def __init__(self, url: str, body: bytes, per_second: float, connections: int) -> None:
        self.latencies: list[float] = []
        self.failures: list[int] = []
        self._url, self._body, self._pause, self._connections = url, body, 1 / per_second, connections
        self._local = threading.local()

    def run(self, seconds: float) -> None:
        """Send for a time, and wait for the last answer."""
        started = time.perf_counter()
        with ThreadPoolExecutor(self._connections) as pool:
            for number in range(int(seconds / self._pause)):
                due = started + number * self._pause
                time.sleep(max(0.0, due - time.perf_counter()))
                pool.submit(self._send, due)

    def _send(self, due: float) -> None:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
        answer = self._local.session.post(self._url, data=self._body, timeout=120)
        self.latencies.append(time.perf_counter() - due)
        if answer.status_code != requests.codes.ok:
            self.failures.append(answer.status_code)
