"""HTTP as bytes, as no client library would send it: what a request becomes is the server's own doing."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass

STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
PATIENCE_SECONDS = 10.0
SILENCE_SECONDS = 0.5
HOST = b"Host: models.example\r\n"


@dataclass(frozen=True)
class Said:
    """What came back on a connection.

    Attributes:
        content: every byte of it.
        is_closed: whether the server has ended the connection.
    """

    content: bytes
    is_closed: bool

    @property
    def statuses(self) -> list[int]:
        """Of all answers, in order."""
        return [int(found) for found in STATUS.findall(self.content)]


def say(port: int, *parts: bytes, until_silence: bool = False) -> Said:
    """Send bytes to a port of this machine, and read until the first answer is whole and the server is silent, or closes.

    Args:
        port: on loopback.
        parts: sent one after the other; what the server does not read any more is dropped.
        until_silence: whether no answer at all is waited for no longer than a moment.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as connection:
        content = bytearray()
        try:
            for part in parts:
                connection.sendall(part)
            while True:
                waits = SILENCE_SECONDS if content or until_silence else PATIENCE_SECONDS
                connection.settimeout(waits)
                more = connection.recv(1 << 16)
                if not more:
                    return Said(bytes(content), is_closed=True)
                content += more
        except TimeoutError:
            return Said(bytes(content), is_closed=False)
        except OSError:
            return Said(bytes(content), is_closed=True)


def request(path: str = "/predictions/digits", *headers: str, body: bytes = b"", method: str = "POST") -> bytes:
    """A request with its length, and more header lines as they stand."""
    lines = "".join(f"{line}\r\n" for line in (*headers, f"Content-Length: {len(body)}"))
    return f"{method} {path} HTTP/1.1\r\n".encode("latin-1") + HOST + lines.encode("latin-1") + b"\r\n" + body


def unframed(path: str, *headers: str, rest: bytes) -> bytes:
    """A request whose headers and what follows are written by the caller alone."""
    lines = "".join(f"{line}\r\n" for line in headers)
    return f"POST {path} HTTP/1.1\r\n".encode("latin-1") + HOST + lines.encode("latin-1") + b"\r\n" + rest


def chunks(*parts: bytes, extension: bytes = b"", end: bytes = b"0\r\n\r\n") -> bytes:
    """A chunked body."""
    return b"".join(b"%x%s\r\n%s\r\n" % (len(part), extension, part) for part in parts) + end
