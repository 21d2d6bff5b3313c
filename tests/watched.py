"""A real Prometheus with our rules, which scrapes a real TorchServe and the exporter, every second."""

from __future__ import annotations

import math
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from servers import Serving, eventually

from marina import paths
from marina.serving.free_ports import free_ports

HURRY = {r"_interval: 10s": "_interval: 1s", r"\bfor: \w+": "for: 2s"}


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus."""

    address: str
    output: Path

    def ask(self, path: str, **asked: str) -> Any:
        """What its API answers."""
        answer = requests.get(f"{self.address}/api/v1/{path}", params=asked, timeout=30)
        assert answer.ok, f"{asked}: {answer.text}"
        return answer.json()["data"]

    def answers(self) -> bool:
        """Whether it is ready."""
        try:
            return requests.get(f"{self.address}/-/ready", timeout=5).ok
        except requests.ConnectionError:
            return False

    def now(self, expression: str) -> dict[str, float]:
        """The values of an expression now, by their labels in short."""
        return {_short(one["metric"]): float(one["value"][1]) for one in self.ask("query", query=expression)["result"]}

    def has_data(self, expression: str, seconds: int = 300) -> bool:
        """Whether an expression had a value that is a number within the last seconds."""
        end = float(self.ask("query", query="time()")["result"][1])
        found = self.ask("query_range", query=expression, start=str(end - seconds), end=str(end), step="1")
        return any(math.isfinite(float(value)) for one in found["result"] for _, value in one["values"])

    def firing(self) -> set[str]:
        """Names of the alerts that fire."""
        return {one["labels"]["alertname"] for one in self.ask("alerts")["alerts"] if one["state"] == "firing"}


def _short(labels: dict[str, str]) -> str:
    return " ".join(value for name, value in sorted(labels.items()) if name not in ("__name__", "job", "instance"))


@contextmanager
def prometheus(server: Serving) -> Iterator[Prometheus]:
    """Prometheus as scripts/run_prometheus.py starts it, in a hurry: it looks every second, and alerts wait two."""
    folder = server.folder / "prometheus"
    shutil.copytree(paths.CONFIG / "prometheus", folder / "config")
    for path in folder.rglob("*.yml"):
        for written, hurried in HURRY.items():
            path.write_text(re.sub(written, hurried, path.read_text()))
    port = free_ports().gateway_port
    options = ["--config", folder / "config" / "prometheus.yml", "--state", folder, "--port", port]
    with script("run_prometheus", server, *options) as output:
        running = Prometheus(f"http://127.0.0.1:{port}", output)
        assert eventually(running.answers), output.read_text()
        yield running


@contextmanager
def script(name: str, server: Serving, *arguments: object) -> Iterator[Path]:
    """A script of ours that runs beside a server until the end; what it prints lies in a file."""
    output = server.folder / f"{name}.output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, str(paths.ROOT / "scripts" / f"{name}.py"), *map(str, arguments)],
            cwd=paths.ROOT,
            env=os.environ | server.environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield output
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)
        assert code == 0, output.read_text()
