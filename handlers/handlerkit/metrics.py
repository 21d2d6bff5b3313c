"""What a worker tells the Metrics API. TorchServe takes metrics as lines of the worker's log, one for each update."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from ts.metrics.metric_type_enum import MetricTypes

from handlerkit.batch import Batch


class Metric(NamedTuple):
    """A metric as config/metrics.yaml declares it; the server ignores what is not declared there."""

    kind: MetricTypes
    unit: str
    dimensions: tuple[str, ...]


METRICS = {
    "marina_answers_total": Metric(MetricTypes.COUNTER, "count", ("model_name", "model_version", "kind", "status")),
    "marina_handler_seconds": Metric(MetricTypes.HISTOGRAM, "s", ("model_name", "model_version")),
    "marina_batch_rows_total": Metric(MetricTypes.COUNTER, "count", ("model_name", "model_version")),
    "marina_batches_total": Metric(MetricTypes.COUNTER, "count", ("model_name", "model_version")),
}


class Meter:
    """The metrics of one model version; unlike TorchServe's own they carry the version that really answered."""

    def __init__(self, cache: Any, model: str, version: str) -> None:
        """Take the metrics from the worker's cache, and add those that the server's metrics.yaml lacks."""
        self._labels = [model, version]
        self._metrics = {name: _get_or_add(cache, name, metric) for name, metric in METRICS.items()}

    def batch(self, batch: Batch, seconds: float) -> None:
        """Count a batch that has been answered."""
        answers = Counter((row.kind, str(int(row.status or 500))) for row in batch)
        for (kind, status), count in answers.items():
            self._metrics["marina_answers_total"].add_or_update(count, [*self._labels, kind, status])
        self._metrics["marina_handler_seconds"].add_or_update(round(seconds, 6), self._labels)
        self._metrics["marina_batch_rows_total"].add_or_update(len(batch), self._labels)
        self._metrics["marina_batches_total"].add_or_update(1, self._labels)


def _get_or_add(cache: Any, name: str, metric: Metric) -> Any:
    if name in cache.cache.get(metric.kind, {}):
        return cache.get_metric(name, metric.kind)
    return cache.add_metric_to_cache(name, metric.unit, list(metric.dimensions), metric.kind)
