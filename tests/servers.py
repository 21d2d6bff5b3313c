"""Real servers for tests: ``scripts/serve_models.py`` with ports, logs and a store of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import psutil
import requests

from marina import paths
from marina.paths import Store
from marina.serving.free_ports import environment
from marina.serving.polling import wait_for
from marina.serving.ports import Ports

SAMPLE = paths.SPECS / "digits" / "seven.png"
READY = "Ctrl-C stops it."
START_SECONDS = 150
SCRIPT = paths.ROOT / "scripts" / "serve_models.py"


@dataclass
class Serving:
    """A started ``serve_models.py``, which ``start`` starts anew on what it left, where it has ended."""

    start: Callable[[], subprocess.Popen[bytes]]
    ports: Ports
    folder: Path
    store: Store
    process: subprocess.Popen[bytes] = field(init=False)
    family: dict[int, psutil.Process] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.process = self.start()

    def start_again(self) -> None:
        """Start it anew, with the same ports and folders, where it has ended."""
        assert self.process.poll() is not None
        self.process = self.start()
        self.wait_for_output(READY)

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which scripts find this server."""
        return environment(self.ports)

    @property
    def output(self) -> str:
        """All that it has printed so far."""
        return (self.folder / "output").read_text()

    def url(self, path: str, api: str = "inference") -> str:
        """An address of one of its APIs."""
        return f"http://127.0.0.1:{getattr(self.ports, f'{api}_port')}{path}"

    def ask(self, path: str, content: bytes, **headers: str) -> requests.Response:
        """POST bytes to its Inference API."""
        return requests.post(self.url(path), data=content, headers=headers, timeout=60)

    def ask_gateway(self, path: str, content: bytes, **headers: str) -> requests.Response:
        """POST bytes to the gateway in front of it."""
        return requests.post(self.url(path, "gateway"), data=content, headers=headers, timeout=60)

    def wait_for_output(self, text: str, seconds: float = START_SECONDS) -> None:
        """Wait until it has printed a text; show what it did print where it does not."""
        found = wait_for(lambda: re.search(text, self.output) or self.process.poll() is not None, seconds)
        assert re.search(text, self.output), f"{found=}\n" + "\n".join(self.output.splitlines()[-30:])

    def remember_family(self) -> list[psutil.Process]:
        """Every process that it has started so far, also those that have lost their parent since."""
        for process in psutil.Process(self.process.pid).children(recursive=True):
            self.family[process.pid] = process
        return list(self.family.values())

    def stop(self, number: int = signal.SIGINT) -> int:
        """Stop it as Ctrl-C does, and return its exit code."""
        if self.process.poll() is None:
            self.remember_family()
            self.process.send_signal(number)
        return self.process.wait(60)

    def left_running(self) -> list[psutil.Process]:
        """Processes of its family that outlived it."""
        return [process for process in self.family.values() if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]

    def java(self) -> psutil.Process:
        """TorchServe's own process, before its workers."""
        return next(one for one in self.remember_family() if one.is_running() and one.name() == "java")

    def workers(self) -> list[psutil.Process]:
        """Its worker processes."""
        return [one for one in self.remember_family() if one.is_running() and "model_service_worker" in " ".join(_command(one))]


@contextmanager
def serving(
    ports: Ports,
    store: Store,
    folder: Path,
    *arguments: str | Path,
    script: Path = SCRIPT,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Serving]:
    """Start a server, with more variables in its environment; it is stopped, whatever happens."""
    folder.mkdir(parents=True, exist_ok=True)
    own = ["--store", str(store.folder), "--logs", str(folder / "logs"), "--state", str(folder / "state")]

    def start() -> subprocess.Popen[bytes]:
        with (folder / "output").open("wb") as output:
            return subprocess.Popen(
                [sys.executable, str(script), *own, *map(str, arguments)],
                cwd=script.parents[1],
                env=os.environ | environment(ports) | dict(variables),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    started = Serving(start, ports, folder, store)
    try:
        yield started
    finally:
        started.stop()


def eventually(probe: Callable[[], bool], seconds: float = 30) -> bool:
    """Whether something becomes so."""
    return bool(wait_for(lambda: probe() or None, seconds))


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
