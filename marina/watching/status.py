"""What each version of a server did between two readings of its counters."""

from __future__ import annotations

from dataclasses import dataclass

from marina.serving.access import Access
from marina.serving.management import Management, Running
from marina.serving.polling import pause
from marina.watching.counters import Counters, read_counters
from marina.watching.quantiles import quantile

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
        ready: workers that take requests, of ``workers``.
        answers_per_second: answers of every kind and status.
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
    ready: int
    workers: int
    answers_per_second: float
    refused: float | None
    failed: float | None
    p50_ms: float | None
    p99_ms: float | None
    queue_ms: float | None
    rows_per_batch: float | None


class Observer:
    """Looks at a server again and again; each look counts from the end of the one before."""

    def __init__(self, management: Management, metrics: str, access: Access, seconds: float) -> None:
        """Take the server's Management API, the address of its Metrics API, the way in, and how long each look counts."""
        self._management = management
        self._metrics = metrics
        self._access = access
        self._seconds = seconds
        self._last: Counters | None = None

    def look(self) -> list[VersionStatus]:
        """Every registered version, with what it did until ``seconds`` from now.

        Raises:
            MarinaError: the server does not answer; the next look begins anew.
        """
        before, self._last = self._last or read_counters(self._metrics, self._access), None
        pause(self._seconds)
        now = read_counters(self._metrics, self._access)
        versions = status_of(self._management, now.since(before))
        self._last = now
        return versions


def status_of(management: Management, counted: Counters) -> list[VersionStatus]:
    """Every registered version, with what was counted.

    Args:
        management: of the server.
        counted: between two readings; ``at`` is the seconds between them.

    Raises:
        MarinaError: the Management API does not answer.
    """
    return [
        _version_status(running, management.default_version(model) == version, counted)
        for model, versions in sorted(management.all_versions().items())
        for version, running in sorted(versions.items())
    ]


def _version_status(running: Running, is_default: bool, counted: Counters) -> VersionStatus:
    of = {"model_name": running.model, "model_version": running.version}
    statuses = counted.by("marina_answers_total", "status", **of)
    answers = sum(statuses.values())
    buckets = counted.by(f"{HANDLER}_bucket", "le", **of)
    batches = counted.sum(f"{BATCH}_count", **of)
    return VersionStatus(
        model=running.model,
        version=running.version,
        is_default=is_default,
        ready=sum(worker.is_ready for worker in running.workers),
        workers=running.wanted_workers,
        answers_per_second=answers / counted.at,
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
