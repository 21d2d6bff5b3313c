"""A client of TorchServe's Management API. It retries nothing: what TorchServe says is what the caller learns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import requests

from marina.errors import MarinaError
from marina.serving.access import Access
from marina.serving.deployment import Wanted

TIMEOUT_SECONDS = 30
READY = "READY"


class Refused(MarinaError):
    """TorchServe refused; ``status`` is the HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Unreachable(MarinaError):
    """Nothing answers at the address."""


@dataclass(frozen=True)
class Worker:
    """A worker process, as TorchServe sees it.

    Attributes:
        memory_bytes: resident; TorchServe looks once a minute, and says 0 before that.
    """

    id: str
    status: str
    pid: int
    memory_bytes: int = 0

    @property
    def is_ready(self) -> bool:
        """Whether it takes requests."""
        return self.status == READY


@dataclass(frozen=True)
class Running:
    """A registered version.

    Attributes:
        wanted_workers: how many TorchServe tries to keep.
        waiting: requests in its queue.
        room: further requests that its queue takes.
        description: what the handler says of itself, where it was asked.
    """

    model: str
    version: str
    archive: str
    batch_size: int
    max_batch_delay_ms: int
    wanted_workers: int
    workers: tuple[Worker, ...]
    waiting: int = 0
    room: int = 0
    description: Any = None

    @property
    def is_ready(self) -> bool:
        """Whether every worker is there and READY."""
        return bool(self.workers) and len(self.workers) >= self.wanted_workers and all(worker.is_ready for worker in self.workers)

    @property
    def ready_workers(self) -> int:
        """How many of its workers take requests."""
        return sum(worker.is_ready for worker in self.workers)


class Management:
    """The Management API at one address."""

    def __init__(self, address: str, access: Access | None = None) -> None:
        self.address = address.rstrip("/")
        self._access = access or Access(self.address)
        self._session = self._access.session()

    def answers(self) -> bool:
        """Whether the API answers at all."""
        try:
            return self._access.send(self._session, "management", "GET", f"{self.address}/models", timeout=TIMEOUT_SECONDS).ok
        except requests.ConnectionError:
            return False

    def models(self) -> dict[str, str]:
        """Registered models, each with the archive of its default version."""
        found: dict[str, str] = {}
        page: dict[str, Any] = {"limit": 100}
        while True:
            answer = self._call("GET", "/models", params=page)
            found |= {model["modelName"]: model["modelUrl"] for model in answer["models"]}
            if "nextPageToken" not in answer:
                return found
            page["next_page_token"] = answer["nextPageToken"]

    def versions(self, model: str) -> dict[str, Running]:
        """All versions of a model, by name."""
        answer = self._call("GET", f"/models/{model}/all")
        return {one["modelVersion"]: _running(one) for one in answer}

    def all_versions(self) -> dict[str, dict[str, Running]]:
        """All versions of all models, by name; a model that goes meanwhile is left out."""
        found: dict[str, dict[str, Running]] = {}
        for model in self.models():
            try:
                found[model] = self.versions(model)
            except Refused as error:
                if error.status != requests.codes.not_found:
                    raise
        return found

    def default_version(self, model: str) -> str:
        """The version that answers where a request names none."""
        return str(self._call("GET", f"/models/{model}")[0]["modelVersion"])

    def describe(self, model: str, version: str) -> Running:
        """One version, with what its handler says of itself; it must have a worker."""
        return _running(self._call("GET", f"/models/{model}/{version}", params={"customized": "true"})[0])

    def register(self, archive: str, wanted: Wanted, workers: int) -> None:
        """Register an archive of the store by its file name; its workers start after this returns."""
        settings = wanted.settings
        asked = {
            "model_name": wanted.model if wanted.of else None,
            "batch_size": settings.batch_size,
            "max_batch_delay": settings.max_batch_delay_ms,
        }
        given = {name: value for name, value in asked.items() if value is not None}
        self._call("POST", "/models", params={"url": archive, "initial_workers": workers, "synchronous": "false", **given})

    def scale(self, model: str, version: str, workers: int) -> None:
        """Set how many workers a version has; they start and stop after this returns."""
        self._call("PUT", f"/models/{model}/{version}", params={"min_worker": workers, "max_worker": workers})

    def set_default(self, model: str, version: str) -> None:
        """Make a version the one that answers where a request names none."""
        self._call("PUT", f"/models/{model}/{version}/set-default")

    def unregister(self, model: str, version: str) -> None:
        """Remove a version and its workers. The default can go last alone."""
        self._call("DELETE", f"/models/{model}/{version}")

    def _call(self, method: str, path: str, params: dict[str, Any] | None = None) -> Any:
        try:
            answer = self._access.send(
                self._session, "management", method, f"{self.address}{path}", params=params, timeout=TIMEOUT_SECONDS
            )
        except requests.ConnectionError as error:
            raise Unreachable(f"no Management API answers at {self.address}: start one with make serve") from error
        except requests.Timeout as error:
            raise MarinaError(f"the Management API at {self.address} did not answer within {TIMEOUT_SECONDS} s") from error
        if not answer.ok:
            raise Refused(message_of(answer), answer.status_code)
        return answer.json()


def message_of(answer: requests.Response) -> str:
    """What an error's body says, or the status where it says nothing."""
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return answer.text.strip()[:200] or f"{answer.status_code} {answer.reason}"


def _running(one: dict[str, Any]) -> Running:
    return Running(
        model=one["modelName"],
        version=one["modelVersion"],
        archive=one["modelUrl"],
        batch_size=one["batchSize"],
        max_batch_delay_ms=one["maxBatchDelay"],
        wanted_workers=one["minWorkers"],
        workers=tuple(_worker(worker) for worker in one["workers"]),
        waiting=one["jobQueueStatus"]["pendingRequests"],
        room=one["jobQueueStatus"]["remainingCapacity"],
        description=one.get("customizedMetadata"),
    )


def _worker(one: dict[str, Any]) -> Worker:
    return Worker(one["id"], one["status"], one["pid"], one["memoryUsage"])
