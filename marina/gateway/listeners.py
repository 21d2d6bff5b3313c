"""Envoy's listeners: the callers', our own, and the second hop's."""

from __future__ import annotations

from marina.gateway.access_log import access_log
from marina.gateway.clusters import ADMIN, MANAGEMENT, SECOND_HOP
from marina.gateway.messages import Message, extension, headers, route_configuration, typed, watched
from marina.gateway.place import Address, Place
from marina.gateway.replies import local_replies
from marina.gateway.settings import GatewaySettings
from marina.gateway.sticky import KEY_FILTER, REQUEST_ID

ACCESS_LOG = "../traffic/access.log"
HEADERS_SECONDS = 10
NOBODY = {"address_prefix": "255.255.255.255", "prefix_len": 32}  # without a range Envoy trusts loopback and private networks
IDLE_SECONDS = 3600
MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ADMIN_READS = ("/stats", "/stats/prometheus", "/ready", "/config_dump")


def listeners(place: Place, settings: GatewaySettings) -> list[Message]:
    """All listeners."""
    return [
        _listener("callers", place.callers, _callers(settings)),
        _listener("internal", place.internal, _internal()),
        {**_named(SECOND_HOP, _second_hop()), "internal_listener": {}},
    ]


def _listener(name: str, address: Address, manager: Message) -> Message:
    return {**_named(name, manager), "address": address.message, "per_connection_buffer_limit_bytes": 1 << 20}


def _named(name: str, manager: Message) -> Message:
    network = {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
    return typed("envoy.config.listener.v3.Listener", name=name, filter_chains=[{"filters": [network]}])


def _callers(settings: GatewaySettings) -> Message:
    """For callers: nothing that they send is believed to come from ourselves, and no path leads out of what is served."""
    return typed(
        MANAGER,
        stat_prefix="callers",
        use_remote_address=True,
        internal_address_config={"cidr_ranges": [NOBODY]},
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action="REJECT_REQUEST",
        always_set_request_id_in_response=True,
        request_headers_timeout=f"{HEADERS_SECONDS}s",
        request_timeout=f"{settings.time_limit_seconds:g}s",
        stream_idle_timeout=f"{settings.time_limit_seconds:g}s",
        common_http_protocol_options={"idle_timeout": f"{IDLE_SECONDS}s"},
        early_header_mutation_extensions=[_own_headers()],
        local_reply_config=local_replies(settings.body_limit_bytes, settings.time_limit_seconds),
        access_log=[access_log(ACCESS_LOG)] if settings.access_log else [],
        rds={"route_config_name": "callers", "config_source": watched("routes")},
        http_filters=[_body_limit(settings), _key(), _router()],
    )


def _own_headers() -> Message:
    """Our own headers are nobody else's; the request's id is ours, and a caller's goes under another name."""
    mutations = [
        {"remove_on_match": {"key_matcher": {"prefix": "x-marina-"}}},
        {"append": headers({"x-client-request-id": f"%REQ({REQUEST_ID})%"})[0]},
        {"remove": REQUEST_ID},
    ]
    kind = "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"
    return extension("envoy.http.early_header_mutation.header_mutation", kind, mutations=mutations)


def _body_limit(settings: GatewaySettings) -> Message:
    kind = "envoy.extensions.filters.http.buffer.v3.Buffer"
    return extension("envoy.filters.http.buffer", kind, max_request_bytes=settings.body_limit_bytes)


def _key() -> Message:
    return extension(KEY_FILTER, "envoy.extensions.filters.http.header_to_metadata.v3.Config")


def _router() -> Message:
    kind = "envoy.extensions.filters.http.router.v3.Router"
    return extension("envoy.filters.http.router", kind, suppress_envoy_headers=True)


def _second_hop() -> Message:
    return typed(
        MANAGER,
        stat_prefix="arms",
        generate_request_id=False,
        skip_xff_append=True,
        stream_idle_timeout="0s",
        rds={"route_config_name": "arms", "config_source": watched("arms")},
        http_filters=[_router()],
    )


def _internal() -> Message:
    """For us: figures, readiness, the logs' reopening, the Management API; nothing else of Envoy's own interface."""
    reads = [{"match": {"path": path, "headers": [_method("GET")]}, "route": {"cluster": ADMIN}} for path in ADMIN_READS]
    reopen = {"match": {"path": "/reopen_logs", "headers": [_method("POST")]}, "route": {"cluster": ADMIN}}
    management = {"match": {"path_separated_prefix": "/models"}, "route": {"cluster": MANAGEMENT, "timeout": "0s"}}
    host = {"name": "internal", "domains": ["*"], "routes": [*reads, reopen, management]}
    return typed(
        MANAGER,
        stat_prefix="internal",
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action="REJECT_REQUEST",
        local_reply_config=local_replies(0, 0),
        route_config=route_configuration("internal", [host]),
        http_filters=[_router()],
    )


def _method(name: str) -> Message:
    return {"name": ":method", "string_match": {"exact": name}}
