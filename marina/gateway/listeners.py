"""Envoy's listeners: the callers', our own, and the second hop's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from marina.gateway.access_log import access_log
from marina.gateway.clusters import SECOND_HOP
from marina.gateway.filters import caller_filters, ready_filters, router
from marina.gateway.messages import Message, extension, headers, typed, watched
from marina.gateway.place import Address, Place
from marina.gateway.replies import local_replies
from marina.gateway.settings import GatewaySettings
from marina.gateway.sticky import REQUEST_ID
from marina.gateway.tls import transport_socket

ACCESS_LOG = "../traffic/access.log"
HEADERS_SECONDS = 10
HEADERS_KB = 7  # TorchServe takes 8, of which Envoy's own are some
OF_TORCHSERVE = ("describe", "explain")  # by which its frontend tells a worker what its own routes ask for
NOBODY = {"address_prefix": "255.255.255.255", "prefix_len": 32}  # without a range Envoy trusts loopback and private networks
OURSELVES = "127.0.0.0/8"
IDLE_SECONDS = 3600
MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
STRICT_PATHS: Message = {"normalize_path": True, "merge_slashes": True, "path_with_escaped_slashes_action": "REJECT_REQUEST"}


def listeners(place: Place, settings: GatewaySettings, models: Iterable[str], *, asks_for_keys: bool) -> list[Message]:
    """All listeners."""
    names = list(models)
    callers = _listener(
        "callers", place.callers, _callers(settings, caller_filters(names, settings, asks_for_keys=asks_for_keys))
    )
    callers["traffic_direction"] = "INBOUND"  # by which it alone is closed before Envoy ends
    if settings.tls is not None:
        callers["filter_chains"][0]["transport_socket"] = transport_socket()
    internal = _listener("internal", place.bound, _internal(names))
    if place.network is not None:
        internal["filter_chains"][0]["filter_chain_match"] = {"prefix_ranges": [*map(_range, (place.network, OURSELVES))]}
    return [callers, internal, _second_hop(settings)]


def _listener(name: str, address: Address, manager: Message) -> Message:
    return {**_named(name, manager), "address": address.message}


def _range(network: str) -> Message:
    """The addresses of a network, of which one must be the listener's end of a connection."""
    address, _, length = network.partition("/")
    return {"address_prefix": address, "prefix_len": int(length)}


def _second_hop(settings: GatewaySettings) -> Message:
    """A listener that only Envoy itself reaches; what it cannot forward is said to the caller as by the first."""
    replies = local_replies(settings.body_limit_bytes, settings.time_limit_seconds)
    own = {"local_reply_config": replies, "generate_request_id": False, "skip_xff_append": True, "stream_idle_timeout": "0s"}
    manager = _manager(SECOND_HOP, [router()], rds=_routes(SECOND_HOP), **own)
    return {**_named(SECOND_HOP, manager), "internal_listener": {}}


def _named(name: str, manager: Message) -> Message:
    network = {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
    return typed("envoy.config.listener.v3.Listener", name=name, filter_chains=[{"filters": [network]}])


def _manager(name: str, filters: list[Message], **more: Any) -> Message:
    return typed(MANAGER, stat_prefix=name, http_filters=filters, **more)


def _routes(name: str) -> Message:
    return {"route_config_name": name, "config_source": watched(name)}


def _callers(settings: GatewaySettings, filters: list[Message]) -> Message:
    """For callers: nothing that they send is believed to come from ourselves, and no path leads out of what is served."""
    return _manager(
        "callers",
        filters,
        **STRICT_PATHS,
        rds=_routes("callers"),
        use_remote_address=True,
        internal_address_config={"cidr_ranges": [NOBODY]},
        always_set_request_id_in_response=True,
        request_headers_timeout=f"{HEADERS_SECONDS}s",
        max_request_headers_kb=HEADERS_KB,
        request_timeout=f"{settings.time_limit_seconds:g}s",
        stream_idle_timeout=f"{settings.time_limit_seconds:g}s",
        common_http_protocol_options={"idle_timeout": f"{IDLE_SECONDS}s"},
        early_header_mutation_extensions=[_own_headers()],
        local_reply_config=local_replies(settings.body_limit_bytes, settings.time_limit_seconds),
        access_log=[access_log(ACCESS_LOG)] if settings.access_log else [],
    )


def _own_headers() -> Message:
    """Our own headers are nobody else's; the request's id is ours, and a caller's goes under another name."""
    mutations = [
        *({"remove": name} for name in OF_TORCHSERVE),
        {"remove_on_match": {"key_matcher": {"prefix": "x-marina-"}}},
        {"append": headers({"x-client-request-id": f"%REQ({REQUEST_ID})%"})[0]},
        {"remove": REQUEST_ID},
    ]
    kind = "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"
    return extension("envoy.http.early_header_mutation.header_mutation", kind, mutations=mutations)


def _internal(models: list[str]) -> Message:
    """For us."""
    ready = [*ready_filters(models), router()]
    return _manager("internal", ready, **STRICT_PATHS, local_reply_config=local_replies(0, 0), rds=_routes("internal"))
