"""What Envoy is started with: where its files are, and how it counts."""

from __future__ import annotations

from marina.gateway.clusters import ADMIN_SOCKET
from marina.gateway.messages import Message, extension, watched

LATENCY_BUCKETS_MS = (
    0.5,
    1,
    2,
    5,
    10,
    20,
    30,
    50,
    75,
    100,
    150,
    200,
    300,
    500,
    750,
    1000,
    2000,
    5000,
    10_000,
    30_000,
    60_000,
    120_000,
)


def bootstrap() -> Message:
    """The file that Envoy is started with; it holds for every deployment."""
    internal = extension("envoy.bootstrap.internal_listener", "envoy.extensions.bootstrap.internal_listener.v3.InternalListener")
    buckets = {"match": {"suffix": "_rq_time"}, "buckets": list(LATENCY_BUCKETS_MS)}
    return {
        "node": {"id": "marina", "cluster": "marina"},
        "admin": {"address": {"pipe": {"path": ADMIN_SOCKET, "mode": 0o600}}},
        "dynamic_resources": {"lds_config": watched("listeners"), "cds_config": watched("clusters")},
        "bootstrap_extensions": [internal],
        "stats_flush_interval": "1s",  # how old latencies are at most; 5 s by default
        "stats_config": {"histogram_bucket_settings": [buckets]},
    }
