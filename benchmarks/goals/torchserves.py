"""A plain TorchServe for a benchmark: as it is shipped, or by the house's config.properties; models come and go by its API."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import requests

from goals.targets import Target, raw
from marina import paths
from marina.config.settings import parse_settings, read_settings
from marina.errors import MarinaError
from marina.paths import Store
from marina.serving.free_ports import free_ports
from marina.serving.management import Management
from marina.serving.polling import wait_for
from marina.serving.process import TorchServe
from marina.serving.properties import effective_properties

START_SECONDS, READY_SECONDS = 120, 300
LOOK_SECONDS = 0.02
LOOPBACK = "127.0.0.1"
SHIPPED = "enable_model_api=true\ndisable_token_authorization=true\n"  # all else as TorchServe has it


@dataclass(frozen=True)
class Serving:
    """How a model is registered.

    Attributes:
        workers: processes.
        batch_size: most requests that are answered together.
        delay_ms: how long a request waits for others, in milliseconds; TorchServe's own default is 100.
        threads: of one worker, by OMP_NUM_THREADS of the server; None leaves all cores to each.
    """

    workers: int = 1
    batch_size: int = 1
    delay_ms: int = 100
    threads: int | None = None

    def __str__(self) -> str:
        """As people read it."""
        threads = f" of {self.threads} threads" if self.threads else ""
        return f"{self.workers} workers{threads}, batch {self.batch_size}, delay {self.delay_ms} ms"


@dataclass(frozen=True)
class Server:
    """A running TorchServe without models."""

    address: str
    management: Management

    def register(self, archive: str, serving: Serving, name: str = "model") -> tuple[Target, float]:
        """Register an archive of the store, and wait until all its workers are READY.

        Returns:
            What to ask, and the seconds from the request to READY.

        Raises:
            MarinaError: it is refused, or its workers do not come.
        """
        asked: Mapping[str, str | int] = {
            "url": archive,
            "model_name": name,
            "batch_size": serving.batch_size,
            "max_batch_delay": serving.delay_ms,
            "initial_workers": serving.workers,
            "synchronous": "false",
        }
        started = time.perf_counter()
        answer = requests.post(f"{self.management.address}/models", params=asked, timeout=60)
        if not answer.ok:
            raise MarinaError(f"TorchServe refused {archive}: {answer.text}")
        (version,) = self.management.versions(name)
        if self.management.versions(name)[version].wanted_workers != serving.workers:  # the archive's own number goes first
            self.management.scale(name, version, serving.workers)
        if not wait_for(lambda: self._ready(name, serving.workers), READY_SECONDS, LOOK_SECONDS):
            raise MarinaError(f"{archive}: its workers were not READY within {READY_SECONDS} s")
        return Target(self.address, raw(f"/predictions/{name}")), time.perf_counter() - started

    def scale(self, workers: int, name: str = "model") -> None:
        """Set how many workers a model has, and wait for them."""
        (version,) = self.management.versions(name)
        self.management.scale(name, version, workers)
        if not wait_for(lambda: self._ready(name, workers), READY_SECONDS):
            raise MarinaError(f"{name}: {workers} workers were not READY within {READY_SECONDS} s")

    def workers(self, name: str = "model") -> list[psutil.Process]:
        """The worker processes of a model."""
        (running,) = self.management.versions(name).values()
        return [psutil.Process(worker.pid) for worker in running.workers]

    def unregister(self, name: str = "model") -> None:
        """Take a model back."""
        for version in self.management.versions(name):
            self.management.unregister(name, version)

    def _ready(self, name: str, workers: int) -> bool:
        (running,) = self.management.versions(name).values()
        return running.ready_workers == workers == len(running.workers)


@contextmanager
def torchserve(store: Store, logs: Path, *, shipped: bool = False, threads: int | None = None) -> Iterator[Server]:
    """A TorchServe on free ports of loopback, until the block ends.

    Args:
        store: whose archives it may take.
        logs: where it and its workers write.
        shipped: without a configuration, as TorchServe has it; else by the house's config.properties.
        threads: OMP_NUM_THREADS of all workers, as its documentation has it.

    Raises:
        MarinaError: it does not answer in time; the message has the end of its log.
    """
    ports = free_ports()
    settings = parse_settings(SHIPPED, "config.properties", {}) if shipped else read_settings(paths.SERVER_CONFIG)
    text = effective_properties(settings, paths.ROOT, ports, LOOPBACK, store)
    if shipped:
        text = "\n".join(line for line in text.splitlines() if not line.startswith("metrics_config"))
    with _variable("OMP_NUM_THREADS", str(threads) if threads else None), TorchServe(text, logs) as process:
        management = Management(f"http://{LOOPBACK}:{ports.management_port}")
        answers = wait_for(lambda: management.answers() or not process.is_running, START_SECONDS)
        if not answers or not process.is_running:
            raise MarinaError("TorchServe did not come up:\n" + "\n".join(process.log_tail()))
        yield Server(f"http://{LOOPBACK}:{ports.inference_port}", management)


@contextmanager
def _variable(name: str, value: str | None) -> Iterator[None]:
    """A variable of the environment that what is started meanwhile has."""
    before = os.environ.get(name)
    if value is not None:
        os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before
