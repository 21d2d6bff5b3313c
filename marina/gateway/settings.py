"""How the gateway is, as ``config/gateway/gateway.yaml`` says it."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from pydantic import PositiveFloat, PositiveInt, field_validator

from marina.reading import Strict, read_yaml


class Tls(Strict):
    """A certificate and its key, PEM; relative to the repository's folder."""

    certificate: str
    key: str


class GatewaySettings(Strict):
    """The gateway's settings.

    Attributes:
        address: that callers reach; beyond loopback whoever reaches the machine can ask.
        tls: certificate and key; without them callers speak plain HTTP.
        body_limit_bytes: of a request; more is answered with 413. Below TorchServe's max_request_size (6,553,500 by default).
        time_limit_seconds: until an answer must have come; else 504.
        requests_per_second: of all callers together; more is answered with 429. None: as many as come.
        keys: file of the callers' keys; where neither it nor GATEWAY_KEYS is there, anyone may ask.
        access_log: whether a line is written for each request.
    """

    address: str = "127.0.0.1"
    tls: Tls | None = None
    body_limit_bytes: PositiveInt = 6_500_000
    time_limit_seconds: PositiveFloat = 120
    requests_per_second: PositiveInt | None = None
    keys: str | None = None
    access_log: bool = True

    @field_validator("address")
    @classmethod
    def _is_address(cls, address: str) -> str:
        try:
            return str(ipaddress.ip_address(address))
        except ValueError:
            raise ValueError(f"an IP address is required, such as 127.0.0.1 or 0.0.0.0; found {address!r}") from None


def read_gateway_settings(path: Path) -> GatewaySettings:
    """The settings in a file.

    Raises:
        UsageError: it is wrong; the message says where.
    """
    return read_yaml(path, GatewaySettings)
