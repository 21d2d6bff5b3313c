"""What the recorder answers over HTTP: outcomes are taken, its health and its counters are given."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from marina.comparing.outcome_reading import OutcomeReader
from marina.comparing.recording import Recording
from marina.errors import MarinaError

LARGEST_BYTES = 4 << 20
LINES = ("application/x-ndjson", "application/jsonl", "application/x-jsonlines")
TYPES = ("application/json", *LINES)
OPEN = ("/healthz", "/metrics")  # for health checks and Prometheus: they say nothing of anybody
LOCAL_NAMES = ["localhost", "127.0.0.1", "[::1]"]
OPEN = ("/healthz", "/metrics")  # they say how much was recorded, and nothing of anybody


class Refused(Exception):
    """The caller is told what is wrong."""

    def __init__(self, code: int, kind: str, message: str, **more: object) -> None:
        super().__init__(message)
        self.code, self.kind, self.more = code, kind, more


def recorder_app(recording: Recording, key: str | None = None) -> Starlette:
    """The application.

    Args:
        recording: the recorder at its work.
        key: what callers give with outcomes as ``Authorization: Bearer …``; needed where others than this machine's reach
            us. Without one only requests to this machine's own names are answered, so that no web page can send any
            through a browser.
    """
    guard = Middleware(BaseHTTPMiddleware, dispatch=_asks_for(key)) if key else Middleware(TrustedHostMiddleware, LOCAL_NAMES)

    async def outcomes(request: Request) -> Response:
        body = await _body(request)
        lines = _media_type(request) in LINES
        return JSONResponse(await run_in_threadpool(_take, recording, body, lines))

    def healthz(_: Request) -> Response:
        trouble = recording.trouble
        if trouble:
            return JSONResponse({"status": "in trouble", "reason": trouble}, 503)
        return JSONResponse({"status": "recording", "into": str(recording.recorder.traffic)})

    def metrics(_: Request) -> Response:
        return Response(recording.recorder.metrics.text(), media_type="text/plain; version=0.0.4")

    return Starlette(
        routes=[
            Route("/outcomes", outcomes, methods=["POST"]),
            Route("/healthz", healthz),
            Route("/metrics", metrics),
        ],
        middleware=[guard],
        exception_handlers={Refused: _refusal, MarinaError: _unavailable},
        lifespan=recording.lifespan,
    )


def _asks_for(key: str) -> Callable[[Request, Callable[[Request], Awaitable[Response]]], Awaitable[Response]]:
    async def ask(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        given = request.headers.get("authorization", "")
        if request.url.path in OPEN or hmac.compare_digest(given.encode(), f"Bearer {key}".encode()):
            return await answer(request)
        return _error(401, "Unauthorized", "A key is required: Authorization: Bearer <key>.")

    return ask


async def _body(request: Request) -> bytes:
    """The body, never more of it in memory than is taken."""
    if _media_type(request) not in TYPES:
        raise Refused(415, "UnsupportedMediaType", f"Content-Type must be one of {', '.join(TYPES)}.")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_BYTES:
            raise Refused(413, "PayloadTooLarge", f"{LARGEST_BYTES} bytes are taken at once: send more batches.")
    return bytes(body)


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _take(recording: Recording, body: bytes, lines: bool) -> dict[str, object]:
    """Write all outcomes of a body, or none."""
    recorder = recording.recorder
    reader = OutcomeReader(recorder.keys, time.time(), recorder.keeping.keep_seconds)
    rows = list(reader.rows(_lines(reader, body) if lines else enumerate(_array(body), 1)))
    counted = recorder.metrics.outcomes
    if reader.refused:
        counted.labels("refused").inc(reader.refused)
        total = len(rows) + reader.refused
        message = f"Nothing was written: of {total} outcomes {reader.refused} are wrong; line {reader.refusals[0].line}: "
        errors = [asdict(one) for one in reader.refusals]
        raise Refused(422, "UnprocessableInput", message + reader.refusals[0].reason, errors=errors)
    written = recorder.traffic.add_outcomes(rows)
    counted.labels("written").inc(written)
    counted.labels("older").inc(len(rows) - written)
    return {"accepted": len(rows)}


def _array(body: bytes) -> list[Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:  # also what is no UTF-8
        raise Refused(400, "BadRequest", f"The body is not valid JSON: {error}.") from error
    return content if isinstance(content, list) else [content]


def _lines(reader: OutcomeReader, body: bytes) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(body.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:
            reader.refuse(number, f"not valid JSON: {error}")


def _error(code: int, kind: str, message: str, **more: object) -> JSONResponse:
    return JSONResponse({"code": code, "type": kind, "message": message, **more}, code)


async def _refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)  # noqa: S101 - Starlette calls it for no other
    return _error(error.code, error.kind, str(error), **error.more)


async def _unavailable(_: Request, error: Exception) -> Response:
    return _error(503, "ServiceUnavailable", f"Nothing was written: {error}")
