"""Envoy's clusters: where requests can be sent, and how many at once."""

from __future__ import annotations

from marina.gateway.arms import Arm, all_arms, in_service, shadow_of
from marina.gateway.kept_payloads import CLUSTER, IN_FLIGHT, SOCKET, keeps_any
from marina.gateway.messages import Message, extension, typed
from marina.gateway.place import Address, Place
from marina.gateway.readiness import endpoint, health_check, readiness_cluster, readiness_hosts
from marina.serving.deployment import DeployedModel, Deployment

TORCHSERVE, GRPC, MANAGEMENT, ADMIN = "torchserve", "torchserve grpc", "management", "admin"
SECOND_HOP = "arms"
ADMIN_SOCKET = "admin.sock"
CONNECT_SECONDS = 2
NO_LIMIT = 1_000_000_000
HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def clusters(deployment: Deployment, place: Place) -> list[Message]:
    """All clusters of a deployment."""
    found = [
        _cluster(TORCHSERVE, place.inference),
        _cluster(GRPC, place.grpc, http2=True),
        _cluster(MANAGEMENT, place.management),
        _socket(ADMIN, ADMIN_SOCKET),
    ]
    if keeps_any(deployment):
        found.append(_socket(CLUSTER, SOCKET) | {"circuit_breakers": _limits(IN_FLIGHT, IN_FLIGHT)})
    for model, deployed in deployment.models.items():
        found.append(_cluster(model, place.inference, in_flight=deployed.limits.in_flight))
        if shadow := shadow_of(model, deployed):
            found.append(
                _hop(shadow.shadow, shadow.host, in_flight=deployed.shadow.in_flight if deployed.shadow else 1, waiting=1)
            )
    found += [_looked_at(model, arms, place) for model, arms in readiness_hosts(deployment).items()]
    for arm in all_arms(deployment):
        deployed = deployment.models[arm.model]
        found += [_hop(arm.only, arm.host, in_flight=deployed.limits.in_flight), _assigned(arm, deployed)]
        found.append(_hop(arm.told, arm.host, in_flight=NO_LIMIT))
    return found


def _assigned(arm: Arm, deployed: DeployedModel) -> Message:
    """An arm, and behind it the others that callers may be given: a retry goes to the next."""
    others = [Arm(arm.model, version) for version in in_service(deployed) if version != arm.version]
    aggregate = extension(
        "envoy.clusters.aggregate",
        "envoy.extensions.clusters.aggregate.v3.ClusterConfig",
        clusters=[one.only for one in (arm, *others)],
    )
    return {
        **_named(arm.cluster),
        "lb_policy": "CLUSTER_PROVIDED",
        "cluster_type": aggregate,
        "circuit_breakers": _limits(NO_LIMIT, NO_LIMIT),
    }


def _hop(name: str, host: str, in_flight: int, waiting: int = NO_LIMIT) -> Message:
    """To the second hop, which puts the version into the path: an attempt that fails is then tried with another version."""
    endpoint = {
        "hostname": host,
        "address": {"envoy_internal_address": {"server_listener_name": SECOND_HOP, "endpoint_id": name}},
    }
    return {
        **_named(name),
        "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]},
        "circuit_breakers": _limits(in_flight, waiting),
        "typed_extension_protocol_options": _protocol(http2=False),
    }


def _cluster(name: str, address: Address, *, in_flight: int = NO_LIMIT, http2: bool = False) -> Message:
    return {
        **_named(name),
        "type": "STRICT_DNS",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address.message}}]}]},
        "circuit_breakers": _limits(in_flight, NO_LIMIT),
        "typed_extension_protocol_options": _protocol(http2=http2),
    }


def _looked_at(model: str, arms: list[Arm], place: Place) -> Message:
    """A model's arms, for readiness alone: whether one of them can answer decides no route."""
    name = readiness_cluster(model)
    assignment = {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint(arm, place.bound) for arm in arms]}]}
    return {
        **_named(name),
        "type": "STATIC",
        "load_assignment": assignment,
        "health_checks": [health_check()],
    }


def _socket(name: str, path: str) -> Message:
    """A socket file, such as that of Envoy's own interface, of which only named paths are led through."""
    endpoint = {"address": {"pipe": {"path": path}}}
    assignment = {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]}
    return {**_named(name), "type": "STATIC", "load_assignment": assignment}


def _named(name: str) -> Message:
    """A cluster by its name; in figures underscores stand for dots, where Envoy would take a dot for the name's end."""
    return typed(
        "envoy.config.cluster.v3.Cluster",
        name=name,
        alt_stat_name=stat_name(name),
        connect_timeout=f"{CONNECT_SECONDS}s",
    )


def stat_name(name: str) -> str:
    """A cluster's name in Envoy's figures."""
    return name.replace(".", "_")


def _protocol(*, http2: bool) -> Message:
    options: Message = {"http2_protocol_options": {}} if http2 else {"http_protocol_options": {}}
    return {HTTP: typed(HTTP, explicit_http_config=options)}


def _limits(in_flight: int, waiting: int) -> Message:
    """``max_requests`` holds for requests in work, ``waiting`` for those that have no connection yet."""
    limit = {"max_connections": NO_LIMIT, "max_requests": in_flight, "max_pending_requests": waiting, "max_retries": NO_LIMIT}
    return {"thresholds": [limit]}
