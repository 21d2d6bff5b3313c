"""Faults of callers: they come in crowds, and do not do what callers should."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from servers import Serving

from marina.serving.polling import pause

CROWD = 100
SLOW_SECONDS = 10
HEAD = b"POST /predictions/digits HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
TCP_REPAIR = 19  # of linux/tcp.h: a socket that is closed in it is gone without a word to the other end


def come_slowly(house: Serving) -> None:
    """They send the head of a request and then nothing, and never end."""
    with new_callers(house.ports.gateway_port, HEAD + b"slow"):
        pause(SLOW_SECONDS)


def drip(house: Serving) -> None:
    """They send a byte a second."""
    with new_callers(house.ports.gateway_port) as callers:
        for number in range(SLOW_SECONDS):
            for caller in callers:
                with suppress(ConnectionError):
                    caller.sendall(HEAD[number : number + 1])
            pause(1)


def vanish(house: Serving) -> None:
    """Half of them in the middle of a request, half before its answer: the gateway is told of none."""
    begun, whole = HEAD + b"half", HEAD + bytes(100)
    with new_callers(house.ports.gateway_port, begun) as some, new_callers(house.ports.gateway_port, whole) as others:
        for caller in (*some[::2], *others[::2]):
            try:
                caller.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
            except OSError as error:
                pytest.skip(f"to vanish takes root, and Linux: {error.strerror}")
            caller.close()
        pause(SLOW_SECONDS)


@contextmanager
def new_callers(port: int, sending: bytes = b"") -> Iterator[list[socket.socket]]:
    """Connections that stay open."""
    with ExitStack() as held:
        callers = [held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10)) for _ in range(CROWD)]
        for caller in callers:
            caller.sendall(sending)
        yield callers
