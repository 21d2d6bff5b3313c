"""Ports that nobody has, below those that the system hands to outgoing connections."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack

from marina.serving.ports import Ports

LOWEST, HIGHEST = 20_000, 32_767


def free_ports() -> Ports:
    """Ports for one server."""
    names = list(Ports.model_fields)
    with ExitStack() as held:
        return Ports.model_validate({name: _free_port(held) for name in names})


def free_port() -> int:
    """One that nobody has."""
    with ExitStack() as held:
        return _free_port(held)


def environment(ports: Ports) -> dict[str, str]:
    """The variables that move a server to ``ports``."""
    return {variable: str(port) for variable, port in ports.by_variable()}


def _free_port(held: ExitStack) -> int:
    for port in random.sample(range(LOWEST, HIGHEST), 200):
        probe = held.enter_context(socket.socket())
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return port
    raise AssertionError("no free port")
