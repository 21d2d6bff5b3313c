"""What the recorder counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest


class RecorderMetrics:
    """Counters of one recorder, apart from any other's in the process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = self._counter("requests", "Requests that were recorded.")
        self.repeated = self._counter("repeated_requests", "Requests whose id had been recorded before.")
        self.left_out = self._counter("left_out_requests", "Requests of keys that are not in the sample.")
        self.bad_lines = self._counter("bad_lines", "Lines of the logs that could not be read.")
        self.summaries = self._counter("summaries", "Answers that were summed up by their handlers.")
        self.agreements = self._counter("agreements", "Requests that two versions answered, and that were compared.")
        self.rotations = self._counter("rotations", "Access logs that were read to their end and deleted.")
        self.expired = self._counter("expired_rows", "Rows that were older than the record keeps.")
        self.troubles = self._counter("troubles", "Looks at the logs that failed, and were made again.")
        self.outcomes = Counter(
            "marina_recorder_outcomes", "Outcomes that came, by what became of them.", ["result"], registry=self._registry
        )
        for result in ("written", "older", "refused"):
            self.outcomes.labels(result)
        self.payloads = Counter(
            "marina_recorder_payloads",
            "Requests that came to be kept, by what became of them.",
            ["result"],
            registry=self._registry,
        )
        for result in ("kept", "too large", "lost"):
            self.payloads.labels(result)
        self.unread = self._gauge("unread_bytes", "What has been written to the logs and not been read.")
        self.read_at = self._gauge("last_look_timestamp_seconds", "When the logs were last looked at without trouble.")

    def text(self) -> bytes:
        """All of them in Prometheus' format."""
        return generate_latest(self._registry)

    def _counter(self, name: str, meaning: str) -> Counter:
        return Counter(f"marina_recorder_{name}", meaning, registry=self._registry)

    def _gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(f"marina_recorder_{name}", meaning, registry=self._registry)
