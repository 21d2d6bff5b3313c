"""Addresses and ports: apart from each other and from what else runs, and not open to whoever passes."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import NamedTuple

from marina.config.findings import Found, error, note, warning
from marina.config.place import Place
from marina.config.settings import Settings
from marina.config.values import ADDRESS

DEFAULT_PORTS = {  # where an address has none: with http, with https
    "inference_address": (80, 443),
    "management_address": (8081, 8444),
    "metrics_address": (8082, 8445),
}
GRPC = (("grpc_inference_address", "grpc_inference_port"), ("grpc_management_address", "grpc_management_port"))
VARIABLES = {
    "INFERENCE_PORT": "inference_address",
    "MANAGEMENT_PORT": "management_address",
    "METRICS_PORT": "metrics_address",
    "GRPC_INFERENCE_PORT": "grpc_inference_port",
    "GRPC_MANAGEMENT_PORT": "grpc_management_port",
}
FIRST_OPEN = 1024
LONGEST = 9  # digits of a port, with noughts before it
ANY = ("0.0.0.0", "::")  # noqa: S104 - compared with


class Listener(NamedTuple):
    """What TorchServe listens on."""

    key: str
    host: str
    port: int
    is_encrypted: bool

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def meets(self, other: Listener) -> bool:
        """Whether only one of the two can be had."""
        return self.port == other.port and (self.host == other.host or self.host in ANY or other.host in ANY)


def listeners(settings: Settings) -> list[Listener]:
    """All addresses that can be read; Unix sockets have no port and are left out."""
    found = []
    for key in DEFAULT_PORTS:
        parts = ADDRESS.fullmatch(settings.value(key))
        if parts and parts[2] and (key != "metrics_address" or settings.says_yes("enable_metrics_api")):
            encrypted = parts[2].lower() == "https"
            found.append(Listener(key, parts[3], int(parts[5] or DEFAULT_PORTS[key][encrypted]), encrypted))
    for host, port in GRPC:
        number = settings.number(port)
        if number is not None:
            found.append(Listener(port, settings.value(host), number, settings.says_yes("enable_grpc_ssl")))
    return found


def ports_differ(settings: Settings, place: Place) -> Iterator[Found]:
    """Two listeners on one port, here or in what stands beside."""
    all_of_them = listeners(settings)
    for number, one in enumerate(all_of_them):
        for other in all_of_them[:number]:
            if one.meets(other) and not _are_shared(settings, one, other):
                yield error(one.key, f"port {one.port} is that of {other.key} too: give them different ports")
        if one.port in place.published:
            yield error(
                one.key, f"port {one.port} is published by docker-compose.yml for {place.published[one.port]}: take another"
            )


def ports_can_be_had(settings: Settings, place: Place) -> Iterator[Found]:
    """Ports that somebody has, or that only root may take."""
    for one in listeners(settings):
        if one.port < FIRST_OPEN and not place.is_root:
            yield warning(one.key, f"port {one.port} is for root alone: take one of {FIRST_OPEN} or more")
        if holder := place.holder(one.port):
            level = note if "java" in holder else warning
            yield level(one.key, f"port {one.port} is taken{holder}: stop that, or take another")


def ports_are_moved(settings: Settings, place: Place) -> Iterator[Found]:
    """Ports that the environment or .env moves, when our scripts start the server."""
    taken = {one.port: one.key for one in listeners(settings) if one.key not in map(VARIABLES.get, place.moved)}
    for variable, value in place.moved.items():
        key = VARIABLES.get(variable, variable.lower())  # the gateway and what is beside it are in no config.properties
        if not (value.isdecimal() and len(value) <= LONGEST and 1 <= int(value) <= 65535):
            yield error(key, f"{variable}, in the environment or in .env, must be a port, 1 to 65535; found {value!r}")
        elif int(value) in taken:
            yield error(
                key, f"{variable}={value}, in the environment or in .env, is the port of {taken[int(value)]} too: take another"
            )
        else:
            taken[int(value)] = key


def doors_are_closed(settings: Settings, place: Place) -> Iterator[Found]:
    """What is reached from other machines, and asks for nothing."""
    tokens = not settings.says_yes("disable_token_authorization")
    for one in listeners(settings):
        if one.is_loopback or place.is_asked:
            continue
        where = f"{one.host}:{one.port}"
        if "management" in one.key and not tokens:
            yield _open(one, where)
        elif "management" in one.key and not one.is_encrypted:
            yield warning(one.key, f"tokens travel readable to {where}: write 127.0.0.1, or {_encrypted(one)}")
        elif one.key == "metrics_address" and not one.is_encrypted:
            yield warning(one.key, f"whoever reaches {where} reads the metrics, which no token guards: write 127.0.0.1")


def apis_are_apart(settings: Settings, place: Place) -> Iterator[Found]:
    """Inference and management at one address."""
    found = {one.key: one for one in listeners(settings)}
    inference, management = found.get("inference_address"), found.get("management_address")
    if inference and management and _are_shared(settings, inference, management):
        level = note if inference.is_loopback or place.is_asked else warning
        yield level("management_address", "is inference_address: whoever may ask for predictions reaches the management, too")


def _open(one: Listener, where: str) -> Found:
    if one.is_encrypted:
        return warning(one.key, f"whoever reaches {where} manages models, without a token: delete disable_token_authorization")
    return error(
        one.key,
        f"whoever reaches {where} manages models, without token or TLS: write 127.0.0.1, "
        f"or delete disable_token_authorization and write {_encrypted(one)}",
    )


def _encrypted(one: Listener) -> str:
    return "enable_grpc_ssl=true" if one.key.startswith("grpc") else f"https://{one.host}:{one.port}"


def _are_shared(settings: Settings, one: Listener, other: Listener) -> bool:
    """Whether TorchServe serves both at one address; it does so for inference and management alone."""
    keys = {one.key, other.key}
    return keys == {"inference_address", "management_address"} and len({settings.value(key) for key in keys}) == 1
