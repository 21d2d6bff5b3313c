"""Envoy's routes: what callers reach, and nothing else; and the second hop, where the version comes into the path."""

from __future__ import annotations

import re
from collections.abc import Iterator

from marina.gateway.arms import ROUTES, Arm, all_arms, shadow_of
from marina.gateway.assignments import assignment_answer, assignment_routes
from marina.gateway.clusters import ADMIN, GRPC, MANAGEMENT, TORCHSERVE
from marina.gateway.filters import KEYS, RATE, SIZE, unless
from marina.gateway.messages import Message, headers, route_configuration
from marina.gateway.model_routes import ModelRoutes, another_replica, limit
from marina.gateway.place import ALONE, Place
from marina.gateway.readiness import looks
from marina.gateway.settings import GatewaySettings
from marina.serving.deployment import Deployment

PASSED = ("/v1/models", "/v2")
PASSED_EXACT = ("/ping", "/api-description")
ADMIN_ASKS = ("/reopen_logs", "/healthcheck/fail")  # the second: callers are told to connect anew, and /ready is 503
CLOSE = "/close"  # the callers' listener takes no connection any more; those that there are stay
ADMIN_READS = ("/stats", "/stats/prometheus", "/config_dump")
GRPC_SERVICES = (
    "/org.pytorch.serve.grpc.inference.InferenceAPIsService",
    "/org.pytorch.serve.grpc.openinference.GRPCInferenceService",
)


def caller_routes(deployment: Deployment, settings: GatewaySettings, place: Place = ALONE) -> Message:
    """The routes of the callers' listener."""
    models = [ModelRoutes(model, kind, one, settings, place) for model, one in deployment.models.items() for kind in ROUTES]
    split = {model: one.split for model, one in deployment.models.items() if one.split}
    assigned = [route for model, one in split.items() for route in assignment_routes(model, one, settings)]
    host = {
        "name": "callers",
        "domains": ["*"],
        "routes": [_alive(), *assigned, *(route for model in models for route in model.routes()), *_passed(settings, place)],
        "request_headers_to_remove": ["authorization"],
        "response_headers_to_add": headers({"x-client-request-id": "%REQ(x-client-request-id)%"}),
    }
    return route_configuration("callers", [host])


def _alive() -> Message:
    return {
        "match": {"path": "/healthz"},
        "direct_response": {"status": 200, "body": {"inline_string": '{"status": "alive"}\n'}},
        "typed_per_filter_config": unless(KEYS, RATE),
    }


def _passed(settings: GatewaySettings, place: Place) -> Iterator[Message]:
    """What goes to TorchServe as it is; what is not named here is answered with 404, the Management API among it."""
    grpc = {"cluster": GRPC, **limit(settings)}
    for service in GRPC_SERVICES:
        match = {"path_separated_prefix": service, "grpc": {}}
        yield {"match": match, "route": grpc, "typed_per_filter_config": unless(SIZE)}
    passed = {"cluster": TORCHSERVE, **limit(settings), **another_replica(place)}
    for kind in ROUTES:
        told = {"filter_metadata": {"marina": {"route": kind}}}
        yield {"match": {"path_separated_prefix": f"/{kind}"}, "metadata": told, "route": passed}
    for prefix in PASSED:
        yield {"match": {"path_separated_prefix": prefix}, "route": passed}
    for path in PASSED_EXACT:
        yield {"match": {"path": path}, "route": passed}


def internal_routes(deployment: Deployment, place: Place = ALONE) -> Message:
    """For us: figures, the logs' reopening, the way out, the Management API, looks at arms; nothing else of Envoy's own."""
    reads = [{"match": {"path": path, "headers": [_method("GET")]}, "route": {"cluster": ADMIN}} for path in ADMIN_READS]
    asks = [{"match": {"path": path, "headers": [_method("POST")]}, "route": {"cluster": ADMIN}} for path in ADMIN_ASKS]
    close = {"path": CLOSE, "headers": [_method("POST")]}
    asks.append({"match": close, "route": {"cluster": ADMIN, "prefix_rewrite": "/drain_listeners?inboundonly"}})
    only_reads = {"headers": [_method("GET")]} if place.has_replicas else {}
    managed = {"path_separated_prefix": "/models", **only_reads}
    management = {"match": managed, "route": {"cluster": MANAGEMENT, "timeout": "0s"}}
    host = {"name": "internal", "domains": ["*"], "routes": [*reads, *asks, management]}
    return route_configuration("internal", [host, *looks(deployment, MANAGEMENT)])


def _method(name: str) -> Message:
    return {"name": ":method", "string_match": {"exact": name}}


def arm_routes(deployment: Deployment, place: Place = ALONE) -> Message:
    """The routes of the second hop. A host that it does not know is answered with 404: nothing falls to a default version."""
    shadows = [shadow_of(model, deployed) for model, deployed in deployment.models.items()]
    arms = {*all_arms(deployment), *(shadow for shadow in shadows if shadow)}
    return route_configuration("arms", [_arm_host(arm, place) for arm in sorted(arms, key=lambda arm: arm.cluster)])


def _arm_host(arm: Arm, place: Place) -> Message:
    return {
        "name": arm.cluster,
        "domains": [arm.host],
        "routes": [assignment_answer(arm), *(_versioned(arm, kind, place) for kind in ROUTES)],
    }


def _versioned(arm: Arm, kind: str, place: Place) -> Message:
    unnamed = rf"/{kind}/{re.escape(arm.model)}/?"
    named = f"/{kind}/{arm.model}/{arm.version}".replace("\\", "\\\\")
    return {
        "match": {"safe_regex": {"regex": unnamed}},
        "route": {
            "cluster": TORCHSERVE,
            "regex_rewrite": {"pattern": {"regex": f"^{unnamed}$"}, "substitution": named},
            "timeout": "0s",
            **another_replica(place),
        },
    }
