"""Real gateways for tests, in front of a real TorchServe or of a stand-in that answers at once."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from marina.gateway.gateway import Gateway
from marina.gateway.keys import Key
from marina.gateway.place import Address, Place
from marina.gateway.process import Envoy
from marina.gateway.settings import GatewaySettings
from marina.paths import State
from marina.serving.deployment import Deployment
from marina.serving.free_ports import free_ports
from marina.serving.polling import wait_for

LOOPBACK = "127.0.0.1"
CONNECTIONS, AT_ONCE = 8, 50
AS_SHIPPED = GatewaySettings()
HEADER = re.compile(rb"\r\nx-assigned-version: ([^\r]+)", re.IGNORECASE)


@dataclass
class StandIn:
    """Speaks HTTP as TorchServe does: every version answers at once and says its name, unless it is told to fail."""

    port: int
    loop: asyncio.AbstractEventLoop
    failing: dict[str, int] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    heads: list[bytes] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    server: asyncio.Server | None = None
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def hold(self, *versions: str) -> None:
        """Let these versions take requests and not answer, until the next call; the others answer at once."""
        self.held = set(versions)
        self.loop.call_soon_threadsafe(self.released.clear if versions else self.released.set)

    def stop(self) -> None:
        """Be gone, with all connections."""
        self.loop.call_soon_threadsafe(self._close)

    def _close(self) -> None:
        assert self.server is not None
        self.server.close()
        for writer in self.writers:
            writer.close()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of a connection."""
        self.writers.append(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                path = head.split(b" ", 2)[1].decode("latin-1")
                if length := re.search(rb"\r\ncontent-length: (\d+)", head, re.IGNORECASE):
                    await reader.readexactly(int(length[1]))
                self.heads.append(head)
                if path.endswith("/streaming"):
                    await self._stream(writer)
                else:
                    writer.write(await self._reply(path))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        """A first part at once, the last one when nothing is held any more."""
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await writer.drain()
        await self.released.wait()
        writer.write(b"4\r\nlast\r\n0\r\n\r\n")

    async def _reply(self, path: str) -> bytes:
        self.paths.append(path)
        version = path.split("?", maxsplit=1)[0].rsplit("/", maxsplit=1)[-1]
        if version in self.held and not path.startswith("/models/"):
            await self.released.wait()
        status = self.failing.get(version, 200)
        body = b'[{"workers": [{"status": "READY"}]}]' if path.startswith("/models/") else version.encode()
        return f"HTTP/1.1 {status} x\r\nX-Model-Version: {version}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@contextmanager
def stand_in() -> Iterator[StandIn]:
    """A stand-in that listens."""
    loop = asyncio.new_event_loop()
    started = StandIn(free_ports().inference_port, loop)
    started.server = loop.run_until_complete(asyncio.start_server(started.answer, LOOPBACK, started.port))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield started
    finally:
        started.stop()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


@dataclass
class Running:
    """A gateway that runs."""

    gateway: Gateway
    envoy: Envoy
    place: Place
    state: State

    @property
    def url(self) -> str:
        """Where callers ask."""
        return f"http://{self.place.callers}"

    def restart(self) -> None:
        """Kill Envoy, and start it on what it was told last."""
        assert self.envoy._process is not None
        self.envoy._process.kill()
        self.envoy.stop()
        self.envoy.__enter__()
        assert wait_for(self.gateway.stats.is_ready, 30, 0.05)
        self.gateway.wait_until_taken()


@contextmanager
def gateway_to(
    port: int, deployment: dict[str, Any], folder: Path, keys: Sequence[Key] = (), settings: GatewaySettings = AS_SHIPPED
) -> Iterator[Running]:
    """A gateway in front of whoever listens at a port."""
    ports = free_ports()
    upstream = Address(LOOPBACK, port)
    callers, internal = Address(LOOPBACK, ports.gateway_port), Address(LOOPBACK, ports.gateway_internal_port)
    place = Place(callers, internal, upstream, upstream, upstream)
    state = State(folder / "state")
    gateway = Gateway(state, f"http://{internal}")
    gateway.write(Deployment.model_validate({"models": deployment}), place, settings, keys)
    with Envoy(state) as envoy:
        assert wait_for(gateway.stats.is_ready, 30, 0.05), envoy.log_tail()
        gateway.wait_until_taken()
        yield Running(gateway, envoy, place, state)


def split_of(**weights: float) -> dict[str, float]:
    """Weights by version: ``v1=90, v2=10``."""
    return {f"{name[1:]}.0": weight for name, weight in weights.items()}


def assigned(place: Address, keys: Iterable[str], path: str = "/predictions/digits", header: str = "X-User-Id") -> dict[str, str]:
    """The arm that each key is given, asked over a few connections, many requests at once on each."""
    listed = list(keys)
    parts = [listed[start::CONNECTIONS] for start in range(CONNECTIONS)]
    with ThreadPoolExecutor(CONNECTIONS) as callers:
        found = callers.map(lambda part: _asked(place, part, path, header), parts)
    return {key: version for part in found for key, version in part.items()}


def _asked(place: Address, keys: list[str], path: str, header: str) -> dict[str, str]:
    found: dict[str, str] = {}
    with socket.create_connection((place.host, place.port), timeout=30) as connection:
        for start in range(0, len(keys), AT_ONCE):
            some = keys[start : start + AT_ONCE]
            lines = [f"GET {path} HTTP/1.1\r\nHost: x\r\n{header}: {key}\r\n\r\n" for key in some]
            connection.sendall("".join(lines).encode())
            versions = _read(connection, len(some))
            found |= dict(zip(some, versions, strict=True))
    return found


def _read(connection: socket.socket, wanted: int) -> list[str]:
    """The arms of so many answers; read to the end of the last one's body."""
    text = b""
    while True:
        heads = [part for part in text.split(b"HTTP/1.1 ")[1:] if b"\r\n\r\n" in part]
        if len(heads) == wanted and _is_whole(heads[-1]):
            return [match[1].decode() if (match := HEADER.search(head)) else "" for head in heads]
        more = connection.recv(1 << 16)
        assert more, "the gateway closed the connection"
        text += more


def _is_whole(answer: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: (\d+)", head, re.IGNORECASE)
    return length is not None and len(body) >= int(length[1])
