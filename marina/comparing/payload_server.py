"""Take the copies of requests that the gateway sends to be kept, over a socket file that only the state's owner reaches."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from marina.comparing.recorder import Recorder
from marina.console import step
from marina.errors import MarinaError
from marina.gateway.kept_payloads import KEY, SOCKET
from marina.paths import State
from marina.serving.payloads import Kept

HEADERS = ("content-type", "accept", "inference-header-content-length")  # that handlers read a body, or answer, by
LONGEST_HEADER = 1000
IDLE_SECONDS = 3600  # the gateway keeps its connections; one that is closed below it would lose a copy
GRACE_SECONDS = 5


def payload_app(recorder: Recorder) -> Starlette:
    """The application: what is posted is kept, or not, and nobody waits for the answer."""
    told: list[str] = []

    async def keep(request: Request) -> Response:
        model = request.path_params["model"].rstrip("/")
        asked = recorder.payloads.asked(model)
        if asked is None:
            return Response(status_code=404)
        body = await _body(request, asked.largest_bytes)
        if body is None:
            recorder.metrics.payloads.labels("too large").inc()
            return Response(status_code=413)
        try:
            await run_in_threadpool(recorder.payloads.keep, model, _about(request, recorder), body, asked.most)
        except OSError as error:
            recorder.metrics.payloads.labels("lost").inc()
            if told[-1:] != [str(error)]:
                told[:] = [str(error)]
                step(f"a payload was not kept: {error.strerror}")
            return Response(status_code=507)
        told.clear()
        recorder.metrics.payloads.labels("kept").inc()
        return Response(status_code=204)

    return Starlette(routes=[Route("/predictions/{model:path}", keep, methods=["POST", "PUT"])])


@contextmanager
def taking_payloads(state: State, recorder: Recorder) -> Iterator[None]:
    """Take payloads in a thread beside the recorder's own server, until the end of the block.

    Raises:
        MarinaError: the socket cannot be made.
    """
    settings = uvicorn.Config(
        payload_app(recorder),
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = uvicorn.Server(settings)
    with _listening(state.traffic / Path(SOCKET).name) as listener:
        thread = threading.Thread(target=server.run, args=([listener],), name="payloads")
        thread.start()
        try:
            yield
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listener:
        try:
            path.unlink(missing_ok=True)  # of a recorder that was killed: no other one works on the state
            with contextlib.chdir(path.parent):  # a socket's whole path may have no more than 108 characters
                listener.bind(path.name)
            path.chmod(0o600)
            listener.listen()
        except OSError as error:
            raise MarinaError(f"{path}: the gateway's copies cannot be taken there: {error.strerror}") from error
        try:
            yield listener
        finally:
            path.unlink(missing_ok=True)


async def _body(request: Request, largest: int) -> bytes | None:
    """The body; None where it is larger, or did not come whole."""
    body = bytearray()
    with contextlib.suppress(ClientDisconnect):
        async for part in request.stream():
            body += part
            if len(body) > largest:
                return None
        return bytes(body)
    return None


def _about(request: Request, recorder: Recorder) -> Kept:
    key = request.headers.get(KEY)
    headers = {name: value for name in HEADERS if (value := request.headers.get(name)) and len(value) <= LONGEST_HEADER}
    return Kept(
        request_id=request.headers.get("x-request-id", ""),
        time=time.time(),
        key=recorder.keys.of(key) if key else None,
        headers=headers,
    )
