"""Whatever is sent to a real server, its workers live, and answer those who mean well."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
import requests
from handlerkit.testing import hostile_rows
from pictures import bomb, encoded
from PIL import Image
from servers import Serving

REQUESTS = 150
CALLERS = 16
DEEP = 10_000
ROUTES = (
    "/predictions/digits",
    "/predictions/digits/2.0",
    "/explanations/digits",
    "/v1/models/digits:predict",
    "/v2/models/digits/infer",
)
CONTENT_TYPES = (
    "",
    "application/json",
    "text/plain; charset=utf-99",
    "image/png",
    "multipart/form-data",
    "application/x-www-form-urlencoded",
    "x" * 200,
)
HEADERS: tuple[dict[str, str], ...] = (
    {},
    {"X-Request-Deadline": "9" * 400},
    {"X-Request-Id": "\x7f" * 99},
    {"X-Long": "x" * 100_000},
    {"explain": "?"},
)


@dataclass(frozen=True)
class Hostile:
    """A request; ``content_type`` says what it is, or lies."""

    path: str
    content: bytes
    content_type: str
    headers: dict[str, str] = field(default_factory=dict)


def hostile_requests(seven: bytes) -> Iterator[Hostile]:
    """A bomb, deep JSON, random and truncated bytes and JSON of the wrong shapes, on every route, under any content type."""
    chance = random.Random(4)  # noqa: S311 - nothing secret
    photo = encoded(Image.effect_noise((300, 200), 90).convert("RGB"), "JPEG")
    deep = b'{"data":' * DEEP + b"1" + b"}" * DEEP
    always = [bomb(), deep, b"[" * DEEP, b'{"instances":' + b"[" * DEEP, b"9" * 9999, b"\x00" * 9999]
    for content in always:
        for path in ROUTES:
            yield Hostile(path, content, "application/json")
    share = (REQUESTS - len(always) * len(ROUTES)) // 2
    for image in (seven, photo):
        for _, row in hostile_rows({"body": image}, share):
            body = next(iter(row.values()), b"")
            content = bytes(body) if isinstance(body, (bytes, bytearray)) else json.dumps(body).encode()
            yield Hostile(chance.choice(ROUTES), content, chance.choice(CONTENT_TYPES), chance.choice(HEADERS))


def send(server: Serving, hostile: Hostile) -> requests.Response | None:
    """The answer; None where TorchServe closes the connection."""
    headers = {"Content-Type": hostile.content_type} | hostile.headers
    try:
        return requests.post(server.url(hostile.path), data=hostile.content, headers=headers, timeout=60)
    except requests.ConnectionError:
        return None


@pytest.mark.timeout(300)
def test_hostile_requests_end_no_worker_and_are_no_fault(server: Serving, seven: bytes) -> None:
    """A hundred and fifty of them at once: no 5xx from a worker, the same processes afterwards, and the right answers."""
    expected = server.ask("/predictions/digits/2.0", seven).json()
    workers = server.workers()
    asked = list(hostile_requests(seven))
    assert len(asked) == REQUESTS
    with ThreadPoolExecutor(CALLERS) as callers:
        answers = list(callers.map(lambda one: send(server, one), asked))
    seen = [answer for answer in answers if answer is not None and "X-Model-Version" in answer.headers]
    assert len(seen) > REQUESTS / 2, "hardly any reached a worker: nothing was shown"
    assert not [(answer.status_code, answer.text) for answer in seen if answer.status_code >= 500]
    assert server.workers() == workers
    assert server.ask("/predictions/digits/2.0", seven).json() == expected
