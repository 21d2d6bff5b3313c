"""A wire between a client and a server of a test's own, on which something happens once so many bytes have passed."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

CHUNK = 1 << 14


@dataclass
class Wire:
    """Passes on whatever comes, both ways, until it is cut.

    Attributes:
        port: where it listens, on loopback.
        passed: how many bytes have passed.
        after: as many bytes, and then ``happens`` is called, once.
    """

    server: tuple[str, int]
    port: int = 0
    passed: int = 0
    after: int | None = None
    happens: Callable[[], None] = lambda: None
    is_cut: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _sockets: list[socket.socket] = field(default_factory=list)

    def cut(self) -> None:
        """End all connections, and take no other: the server is gone."""
        self.is_cut = True
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def drop(self) -> None:
        """End all connections that there are; the next is taken."""
        self.cut()
        self.is_cut = False

    def accept(self, listening: socket.socket) -> None:
        """Take connections until the listening socket is closed."""
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            if self.is_cut:
                client.close()
                continue
            server = socket.create_connection(self.server)
            self._sockets += [client, server]
            for pair in ((client, server), (server, client)):
                threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError), source, target:
            while data := source.recv(CHUNK):
                self._count(len(data))
                target.sendall(data)

    def _count(self, size: int) -> None:
        with self._lock:
            self.passed += size
            happens = self.after is not None and self.passed >= self.after
            if happens:
                self.after = None
        if happens:
            self.happens()


@contextlib.contextmanager
def wire_to(host: str, port: int) -> Iterator[Wire]:
    """A wire to a server."""
    wire = Wire((host, port))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        wire.port = listening.getsockname()[1]
        threading.Thread(target=wire.accept, args=(listening,), daemon=True).start()
        yield wire
        wire.cut()
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
