"""What the exporter tells Prometheus: each metric with its labels and its meaning. docs/watching.md lists the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

MODEL = ("model_name",)
VERSION = ("model_name", "model_version")


@dataclass(frozen=True)
class Exported:
    """A metric; its name carries its base unit."""

    kind: Literal["gauge", "counter"]
    labels: tuple[str, ...]
    meaning: str


class Sample(NamedTuple):
    """One value of a metric, with the values of its labels in their order."""

    name: str
    labels: tuple[str, ...]
    value: float


SOURCE_UP = "marina_source_up"
EXPORTED = {
    SOURCE_UP: Exported("gauge", ("source",), "1 where the exporter's last look could read it, else 0"),
    "marina_workers_ready": Exported("gauge", VERSION, "workers that take requests"),
    "marina_workers_wanted": Exported("gauge", VERSION, "workers that TorchServe tries to keep"),
    "marina_worker_restarts_total": Exported("counter", VERSION, "workers that were started in the place of one that was lost"),
    "marina_worker_memory_bytes": Exported("gauge", (*VERSION, "worker"), "resident memory of a worker, looked at once a minute"),
    "marina_queue_waiting_requests": Exported("gauge", VERSION, "requests that wait for a worker"),
    "marina_queue_room_requests": Exported("gauge", VERSION, "requests that the queue takes beside those that wait"),
    "marina_version_default": Exported("gauge", VERSION, "1 for the version that answers where a request names none, else 0"),
    "marina_version_deployed": Exported("gauge", VERSION, "1 for each version that the deployment's file names"),
    "marina_objective_p99_seconds": Exported("gauge", MODEL, "that 99 of 100 answers are promised to stay below"),
    "marina_objective_error_ratio": Exported("gauge", MODEL, "of the answers that may be the server's fault"),
    "marina_split_weight_ratio": Exported(
        "gauge", (*VERSION, "experiment"), "share of the requests that the gateway has taken for an arm"
    ),
    "marina_shadow_copied_ratio": Exported("gauge", VERSION, "share of the requests that are copied to a shadow"),
    "marina_rollout_open": Exported("gauge", VERSION, "1 while a rollout of the version has not ended, else 0"),
    "marina_gateway_cluster_info": Exported(
        "gauge", ("envoy_cluster_name", *VERSION), "1 for each name that Envoy has for a version, or for its shadow"
    ),
    "marina_certificate_expiry_timestamp_seconds": Exported("gauge", ("file",), "when a certificate ends"),
}
