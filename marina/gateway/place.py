"""Where a gateway stands: what it listens on, what it forwards to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - compared with, and listened on only where the person asks


@dataclass(frozen=True)
class Address:
    """A host and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def from_here(self) -> Address:
        """By which this machine, or this container, reaches it."""
        return Address(LOOPBACK, self.port) if self.host == EVERYWHERE else self

    @property
    def message(self) -> dict[str, Any]:
        """As Envoy writes it."""
        return {"socket_address": {"address": self.host, "port_value": self.port}}


@dataclass(frozen=True)
class Place:
    """The addresses around a gateway.

    Attributes:
        callers: where callers ask.
        internal: where we ask: figures, readiness, the Management API.
        inference: TorchServe's Inference API.
        management: its Management API.
        grpc: its Inference API by gRPC.
        has_replicas: whether several TorchServes answer by these names. One that takes no connection is then passed over, and
            the Management API is led through for reading alone: a change would reach one of them.
        network: of which the internal listener takes connections, where it cannot know its address there before it runs, as
            on Docker Swarm, such as 172.30.77.0/24; ``internal`` has then a name for its host.
    """

    callers: Address = Address(LOOPBACK, 8000)
    internal: Address = Address(LOOPBACK, 8001)
    inference: Address = Address(LOOPBACK, 8080)
    management: Address = Address(LOOPBACK, 8081)
    grpc: Address = Address(LOOPBACK, 7070)
    has_replicas: bool = False
    network: str | None = None

    @property
    def bound(self) -> Address:
        """What the internal listener is bound to."""
        return Address(EVERYWHERE, self.internal.port) if self.network else self.internal


ALONE = Place()  # one TorchServe
