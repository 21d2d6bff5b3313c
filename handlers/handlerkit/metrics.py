"""What a worker tells the Metrics API.

TorchServe takes metrics as lines of the worker's log, one for each update, and its histograms have fixed buckets that
begin at 5 ms. So a worker adds up by itself, in buckets that begin at half a millisecond, and writes what has come
together once a second: as counters named as Prometheus names the parts of a histogram (``_bucket`` with ``le``, ``_sum``,
``_count``), which ``histogram_quantile`` takes like any other.
"""

from __future__ import annotations

import atexit
import threading
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from itertools import accumulate
from typing import Any, Literal

from ts.metrics.metric_type_enum import MetricTypes

from handlerkit.batch import Row

Stage = Literal["preprocess", "inference", "postprocess", "explain"]
MODEL = ("model_name", "model_version")
SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
ROWS = (1, 2, 4, 8, 16, 32, 64)
PROBABILITY = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1)
HISTOGRAMS: dict[str, tuple[tuple[float, ...], tuple[str, ...]]] = {
    "marina_stage_seconds": (SECONDS, (*MODEL, "stage")),
    "marina_handler_seconds": (SECONDS, MODEL),
    "marina_answer_seconds": (SECONDS, (*MODEL, "kind")),
    "marina_batch_rows": (ROWS, MODEL),
    "marina_answer_probability": (PROBABILITY, MODEL),
}
COUNTERS: dict[str, tuple[str, ...]] = {
    "marina_answers_total": (*MODEL, "kind", "status"),
    "marina_refusals_total": (*MODEL, "reason"),
    "marina_answered_labels_total": (*MODEL, "label"),
}
MOST_LABELS = 50
FLUSH_SECONDS = 1.0
Series = tuple[str, tuple[str, ...]]  # a metric and its labels


def metrics() -> dict[str, tuple[str, ...]]:
    """Every counter that is written, with its dimensions; config/metrics.yaml declares the same."""
    parts = {
        f"{name}_{part}": (*dimensions, "le") if part == "bucket" else dimensions
        for name, (_, dimensions) in HISTOGRAMS.items()
        for part in ("bucket", "sum", "count")
    }
    return COUNTERS | parts


class Meter:
    """Metrics of one model version; unlike TorchServe's own they carry the version that really answered."""

    def __init__(self, cache: Any, model: str, version: str) -> None:
        """Take the metrics from the worker's cache, and add those that the server's metrics.yaml lacks."""
        self._labels = (model, version)
        self._written = {name: _get_or_add(cache, name, dimensions) for name, dimensions in metrics().items()}
        self._lock = threading.Lock()
        self._counted: Counter[Series] = Counter()
        self._observed: defaultdict[Series, Counter[float]] = defaultdict(Counter)
        self._seen: set[str] = set()
        threading.Thread(target=self._flush_forever, name="metrics", daemon=True).start()
        atexit.register(self.flush)

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """Time a stage of a batch."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._observe("marina_stage_seconds", time.perf_counter() - started, stage)

    def batch(self, rows: list[Row], seconds: float) -> None:
        """Count a batch that has been answered."""
        self._observe("marina_handler_seconds", seconds)
        self._observe("marina_batch_rows", len(rows))
        for kind, answers in Counter(row.kind for row in rows).items():
            self._observe("marina_answer_seconds", seconds, kind, times=answers)
        for (kind, status), answers in Counter((row.kind, row.status) for row in rows).items():
            self._count("marina_answers_total", kind, str((status or HTTPStatus.INTERNAL_SERVER_ERROR).value), times=answers)
        for row in rows:
            if row.status is not HTTPStatus.OK:
                self._count("marina_refusals_total", row.answer["type"] if row.answer else "none")

    def answer(self, label: str, probability: float) -> None:
        """Count an answer by its class and by how sure it is, so that drift between versions shows.

        Classes after the first MOST_LABELS are counted together as ``other``: every label is a time series.
        """
        if label not in self._seen and len(self._seen) >= MOST_LABELS:
            label = "other"
        self._seen.add(label)
        self._count("marina_answered_labels_total", label)
        self._observe("marina_answer_probability", probability)

    def flush(self) -> None:
        """Write what has come together since the last time."""
        with self._lock:
            counted, self._counted = self._counted, Counter()
            observed, self._observed = self._observed, defaultdict(Counter)
        for (name, labels), value in counted.items():
            self._write(name, labels, value)
        for (name, labels), values in observed.items():
            self._write_histogram(name, labels, values)

    def _count(self, name: str, *labels: str, times: int = 1) -> None:
        with self._lock:
            self._counted[name, (*self._labels, *labels)] += times

    def _observe(self, name: str, value: float, *labels: str, times: int = 1) -> None:
        with self._lock:
            self._observed[name, (*self._labels, *labels)][value] += times

    def _write(self, name: str, labels: tuple[str, ...], value: float) -> None:
        self._written[name].add_or_update(round(value, 6), list(labels))

    def _write_histogram(self, name: str, labels: tuple[str, ...], values: Counter[float]) -> None:
        """Each bucket counts what is at most its bound, as Prometheus has them."""
        bounds = HISTOGRAMS[name][0]
        within = [0] * (len(bounds) + 1)
        for value, times in values.items():
            within[bisect_left(bounds, value)] += times
        for bound, times in zip([*(f"{bound:g}" for bound in bounds), "+Inf"], accumulate(within), strict=True):
            self._write(f"{name}_bucket", (*labels, bound), times)
        self._write(f"{name}_sum", labels, sum(value * times for value, times in values.items()))
        self._write(f"{name}_count", labels, values.total())

    def _flush_forever(self) -> None:
        while True:
            time.sleep(FLUSH_SECONDS)
            self.flush()


def _get_or_add(cache: Any, name: str, dimensions: tuple[str, ...]) -> Any:
    if name in cache.cache.get(MetricTypes.COUNTER, {}):
        return cache.get_metric(name, MetricTypes.COUNTER)
    return cache.add_metric_to_cache(name, "count", list(dimensions), MetricTypes.COUNTER)
