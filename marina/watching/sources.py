"""What the exporter looks at: each source reads one thing, and says what it found as samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path

import requests
from cryptography import x509

from marina.comparing.rollout import Record
from marina.comparing.split import Split
from marina.errors import MarinaError
from marina.gateway.arms import Arm, shadow_of
from marina.gateway.clusters import stat_name
from marina.gateway.gateway import Gateway
from marina.paths import State
from marina.serving.deployment import DeployedModel, Deployment, read_deployment
from marina.serving.management import Management, Running
from marina.watching.exported import Sample
from marina.watching.restarts import Restarts

SUFFIXES = (".pem", ".crt")
BEGINS = b"-----BEGIN CERTIFICATE-----"
FAILURES = (MarinaError, OSError, requests.RequestException, ValueError, LookupError)  # of a look: also an answer that is cut off


class Source(ABC):
    """One thing that is looked at again and again."""

    name: str

    @abstractmethod
    def look(self) -> Iterable[Sample]:
        """What it says now.

        Raises:
            MarinaError: it says nothing.
        """


class Server(Source):
    """TorchServe, by its Management API."""

    name = "torchserve"

    def __init__(self, management: Management) -> None:
        self._management = management
        self._restarts = Restarts()

    def look(self) -> Iterable[Sample]:
        """Workers, queues and defaults of every registered version."""
        try:
            models = self._management.all_versions()
            defaults = {model: self._management.default_version(model) for model in models}
        except MarinaError:
            self._restarts.forget_processes()
            raise
        versions = [running for one in models.values() for running in one.values()]
        restarts = self._restarts.look(versions)
        return [
            sample
            for running in versions
            for sample in _of_version(running, restarts[running.model, running.version], defaults[running.model])
        ]


def _of_version(running: Running, restarts: int, default: str) -> Iterator[Sample]:
    of = (running.model, running.version)
    yield Sample("marina_workers_ready", of, running.ready_workers)
    yield Sample("marina_workers_wanted", of, running.wanted_workers)
    yield Sample("marina_worker_restarts_total", of, restarts)
    yield Sample("marina_queue_waiting_requests", of, running.waiting)
    yield Sample("marina_queue_room_requests", of, running.room)
    yield Sample("marina_version_default", of, running.version == default)
    for worker in running.workers:
        if worker.memory_bytes > 0:  # TorchServe has not looked yet
            yield Sample("marina_worker_memory_bytes", (*of, worker.id), worker.memory_bytes)


class WrittenDeployment(Source):
    """What the deployment's file says; read again where it has changed."""

    name = "deployment"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: tuple[int, Deployment] | None = None

    def look(self) -> Iterable[Sample]:
        """Versions that should run, what their callers are promised, and shadows."""
        return [sample for model, deployed in self._deployment().models.items() for sample in _promises(model, deployed)]

    def _deployment(self) -> Deployment:
        try:
            changed = self._path.stat().st_mtime_ns
        except OSError as error:
            raise MarinaError(f"{self._path}: cannot be read: {error.strerror}") from error
        if self._read is None or self._read[0] != changed:
            self._read = changed, read_deployment(self._path)
        return self._read[1]


def _promises(model: str, deployed: DeployedModel) -> Iterator[Sample]:
    for version in deployed.versions:
        yield Sample("marina_version_deployed", (model, version), 1)
    if deployed.objectives.p99_ms is not None:
        yield Sample("marina_objective_p99_seconds", (model,), deployed.objectives.p99_ms / 1000)
    if shadow := shadow_of(model, deployed):
        copied = deployed.shadow.percent / 100 if deployed.shadow else 0
        yield Sample("marina_shadow_copied_ratio", (model, shadow.version), copied)
        yield Sample("marina_gateway_cluster_info", (stat_name(shadow.shadow), model, shadow.version), 1)
    yield Sample("marina_objective_error_ratio", (model,), deployed.objectives.errors_percent / 100)


class LiveSplits(Source):
    """The splits that the gateway has taken, read back from it."""

    name = "gateway"

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def look(self) -> Iterable[Sample]:
        """Weights of all arms, and by which name Envoy counts each."""
        return [sample for model, split in self._gateway.splits().items() for sample in _arms(model, split)]


def _arms(model: str, split: Split) -> Iterator[Sample]:
    for version, weight in split.weights.items():
        yield Sample("marina_split_weight_ratio", (model, version, split.experiment or model), weight / 100)
        yield Sample("marina_gateway_cluster_info", (stat_name(Arm(model, version).cluster), model, version), 1)


class Rollouts(Source):
    """What is remembered of rollouts, the last of each model."""

    name = "rollouts"

    def __init__(self, state: State) -> None:
        self._state = state

    def look(self) -> Iterable[Sample]:
        """Whether each has ended; one that is paused has not."""
        read = [Record(self._state, file.stem).read() for file in sorted(self._state.rollouts.glob("*.json"))]
        return [Sample("marina_rollout_open", (one.model, one.candidate), one.is_open) for one in read if one]


class Certificates(Source):
    """Certificates in PEM files, by name, and in a folder of such files, where keys lie beside them."""

    name = "certificates"

    def __init__(self, files: Iterable[Path], folder: Path | None = None) -> None:
        self._files = list(files)
        self._folder = folder

    def look(self) -> Iterable[Sample]:
        """When the first certificate of each file ends, which is the server's own."""
        ends = {str(file): _end(file) for file in self._files} | {str(file): _end(file) for file in self._in_folder()}
        return [Sample("marina_certificate_expiry_timestamp_seconds", (file,), end) for file, end in ends.items()]

    def _in_folder(self) -> list[Path]:
        files = sorted(self._folder.iterdir()) if self._folder and self._folder.is_dir() else []
        return [file for file in files if file.suffix in SUFFIXES and _has_certificate(file)]


def _has_certificate(file: Path) -> bool:
    try:
        return BEGINS in file.read_bytes()
    except PermissionError:  # a key, for its owner alone
        return False


def _end(file: Path) -> float:
    try:
        return x509.load_pem_x509_certificates(file.read_bytes())[0].not_valid_after_utc.timestamp()
    except OSError as error:
        raise MarinaError(f"{file}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise MarinaError(f"{file}: must hold a certificate in PEM; found something else") from error
