"""What each version of a server did between two readings of its counters."""

from __future__ import annotations

from dataclasses import dataclass

from marina.comparing.split import Split
from marina.errors import MarinaError
from marina.gateway.gateway import Gateway
from marina.serving.access import Access
from marina.serving.management import Management, Running
from marina.serving.polling import pause
from marina.watching.counters import Counters, read_counters
from marina.watching.quantiles import quantile
from marina.watching.restarts import Restarts

HANDLER = "marina_handler_seconds"
BATCH = "marina_batch_rows"
QUEUED = "ts_queue_latency_microseconds"
REQUESTS = "ts_inference_requests_total"
UNNAMED = "default"  # the version that TorchServe's own counters name where a request named none


@dataclass(frozen=True)
class VersionStatus:
    """One version.

    Attributes:
        is_default: whether it answers where a request names no version.
        weight: its share of the requests that the gateway has taken, 0 to 1; None without a gateway or a split.
        ready: workers that take requests, of ``workers``.
        restarts: workers that were started in the place of lost ones since the first look.
        answers_per_second: answers of every kind and status.
        explanations_per_second: those of them that are explanations.
        refused: share of the answers that were the caller's mistake (4xx), 0 to 1; None without answers.
        failed: share of the answers that were the server's fault (5xx), 0 to 1; None without answers.
        p50_ms: median of the time that a batch took in the handler, in milliseconds; waiting in the queue is not in it.
        p99_ms: likewise, 99 of 100.
        queue_ms: mean time that a request waited for a worker, in milliseconds; the wait for a batch to fill is in it.
        rows_per_batch: mean number of requests that were answered together.
    """

    model: str
    version: str
    is_default: bool
    weight: float | None
    ready: int
    workers: int
    restarts: int
    answers_per_second: float
    explanations_per_second: float
    refused: float | None
    failed: float | None
    p50_ms: float | None
    p99_ms: float | None
    queue_ms: float | None
    rows_per_batch: float | None


class Observer:
    """Looks at a server again and again; each look counts from the end of the one before."""

    def __init__(
        self, management: Management, metrics: str, access: Access, seconds: float, gateway: Gateway | None = None
    ) -> None:
        """Take the server's Management API, the address of its Metrics API, the way in, how long a look counts, the gateway."""
        self._management = management
        self._metrics = metrics
        self._access = access
        self._seconds = seconds
        self._gateway = gateway
        self._restarts = Restarts()
        self._last: Counters | None = None

    def look(self) -> list[VersionStatus]:
        """Every registered version, with what it did until ``seconds`` from now.

        Raises:
            MarinaError: the server does not answer; the next look begins anew.
        """
        before, self._last = self._last or self._first(), None
        pause(self._seconds)
        now = read_counters(self._metrics, self._access)
        counted, splits = now.since(before), self._splits()
        versions = self._registered()
        restarts = self._restarts.look(versions)
        defaults = {model: self._management.default_version(model) for model in sorted({one.model for one in versions})}
        self._last = now
        return [_version_status(one, defaults[one.model], splits, restarts[one.model, one.version], counted) for one in versions]

    def _first(self) -> Counters:
        counters = read_counters(self._metrics, self._access)
        self._restarts.forget_processes()
        self._restarts.look(self._registered())
        return counters

    def _registered(self) -> list[Running]:
        models = self._management.all_versions()
        return [running for _, versions in sorted(models.items()) for _, running in sorted(versions.items())]

    def _splits(self) -> dict[str, Split]:
        """What the gateway has taken; nothing where there is none."""
        try:
            return self._gateway.splits() if self._gateway else {}
        except MarinaError:
            return {}


def _version_status(running: Running, default: str, splits: dict[str, Split], restarts: int, counted: Counters) -> VersionStatus:
    of = {"model_name": running.model, "model_version": running.version}
    is_default, split = running.version == default, splits.get(running.model)
    statuses = counted.by("marina_answers_total", "status", **of)
    answers = sum(statuses.values())
    buckets = counted.by(f"{HANDLER}_bucket", "le", **of)
    batches = counted.sum(f"{BATCH}_count", **of)
    return VersionStatus(
        model=running.model,
        version=running.version,
        is_default=is_default,
        weight=split.weights.get(running.version, 0) / 100 if split else None,
        ready=running.ready_workers,
        workers=running.wanted_workers,
        restarts=restarts,
        answers_per_second=answers / counted.at,
        explanations_per_second=counted.sum("marina_answers_total", kind="explain", **of) / counted.at,
        refused=_share(statuses, "4", answers),
        failed=_share(statuses, "5", answers),
        p50_ms=_milliseconds(quantile(0.5, buckets)),
        p99_ms=_milliseconds(quantile(0.99, buckets)),
        queue_ms=_queued(running, is_default, counted),
        rows_per_batch=counted.sum(f"{BATCH}_sum", **of) / batches if batches else None,
    )


def _queued(running: Running, is_default: bool, counted: Counters) -> float | None:
    versions = [running.version, *([UNNAMED] if is_default else [])]
    requests = sum(counted.sum(REQUESTS, model_name=running.model, model_version=one) for one in versions)
    microseconds = sum(counted.sum(QUEUED, model_name=running.model, model_version=one) for one in versions)
    return microseconds / requests / 1000 if requests else None


def _share(statuses: dict[str, float], first_digit: str, answers: float) -> float | None:
    counted = sum(value for status, value in statuses.items() if status.startswith(first_digit))
    return counted / answers if answers else None


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
