"""What is asked of a server under test: where it is, and how it wants a picture sent."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass

import requests

from marina.errors import MarinaError
from marina.measuring.load import Request

Asking = Callable[[bytes], Request]
BOUNDARY = "marina-benchmark"
TIMEOUT_SECONDS = 120


@dataclass(frozen=True)
class Target:
    """A model that is served.

    Attributes:
        address: of the server.
        asking: the request that it wants for a picture.
    """

    address: str
    asking: Asking

    def warm_up(self, content: bytes, count: int) -> None:
        """Ask so many times, one after the other.

        Raises:
            MarinaError: an answer is not 200.
        """
        asked = self.asking(content)
        for _ in range(count):
            answer = requests.post(
                self.address + asked.path, data=asked.body, headers=dict(asked.headers), timeout=TIMEOUT_SECONDS
            )
            if not answer.ok:
                raise MarinaError(f"{self.address}{asked.path} answers {answer.status_code}: {answer.text[:300]}")

    def at(self, path: str) -> Target:
        """The same server's other path, which takes pictures as they are."""
        return Target(self.address, raw(path))


def raw(path: str) -> Asking:
    """The picture as it is."""
    return lambda content: Request(path, content, {"Content-Type": "application/octet-stream"})


def form(path: str, field: str) -> Asking:
    """The picture as a file of a form."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="picture.jpg"\r\n'
    opening, closing = f"{head}Content-Type: image/jpeg\r\n\r\n".encode(), f"\r\n--{BOUNDARY}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    return lambda content: Request(path, opening + content + closing, headers)


def in_json(path: str, wrapped: Callable[[str], object]) -> Asking:
    """The picture in base64, within JSON."""

    def asked(content: bytes) -> Request:
        body = json.dumps(wrapped(base64.b64encode(content).decode())).encode()
        return Request(path, body, {"Content-Type": "application/json"})

    return asked
