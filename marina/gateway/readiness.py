"""Which arms can answer: each is looked at by TorchServe's Management API, and is ready where a worker of it is READY.

A cluster for each model has its arms as hosts. Envoy looks at all hosts of a cluster by one path; so it asks our own listener,
which knows the arm by the name of the host and leads the look to the arm's own path.
"""

from __future__ import annotations

from marina.gateway.arms import Arm, in_service
from marina.gateway.messages import Message
from marina.gateway.place import Address
from marina.serving.deployment import Deployment

LOOK = "/look"
LOOK_SECONDS, PATIENCE_SECONDS = 1, 5
TIMES = 2  # a look may fail once, for example while TorchServe is busy
BODY_BYTES = 1 << 20
READY = '"status": "READY"'


def readiness_cluster(model: str) -> str:
    """The name of the cluster by which a model's arms are looked at; nothing is sent to it."""
    return f"{model}/ready"


def readiness_hosts(deployment: Deployment) -> dict[str, list[Arm]]:
    """By model, the arms that callers may be given."""
    return {model: [Arm(model, version) for version in in_service(deployed)] for model, deployed in deployment.models.items()}


def health_check() -> Message:
    """How a host is looked at."""
    seconds = f"{LOOK_SECONDS}s"
    return {
        "timeout": f"{PATIENCE_SECONDS}s",
        "interval": seconds,
        "no_traffic_interval": seconds,
        "unhealthy_interval": seconds,
        "unhealthy_threshold": TIMES,
        "healthy_threshold": 1,
        "http_health_check": {"path": LOOK, "receive": [{"text": READY.encode().hex()}], "response_buffer_size": BODY_BYTES},
    }


def endpoint(arm: Arm, internal: Address) -> Message:
    """An arm as a host; its own address is a name that nothing listens at."""
    name = {"envoy_internal_address": {"server_listener_name": "nowhere", "endpoint_id": arm.version}}
    return {"endpoint": {"address": name, "health_check_config": {"hostname": arm.host, "address": internal.from_here.message}}}


def looks(deployment: Deployment, management: str) -> list[Message]:
    """The routes of looks, a host for each arm.

    Args:
        deployment: whose arms.
        management: the cluster of the Management API.
    """
    return [_host(arm, management) for arms in readiness_hosts(deployment).values() for arm in arms]


def _host(arm: Arm, management: str) -> Message:
    path = f"/models/{arm.model}/{arm.version}"
    route = {"cluster": management, "prefix_rewrite": path, "timeout": f"{PATIENCE_SECONDS}s"}
    return {"name": arm.cluster, "domains": [arm.host], "routes": [{"match": {"path": LOOK}, "route": route}]}
