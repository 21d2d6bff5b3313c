"""Serve versions of models by Flask, without Java: for their developers, one request at a time, and never for production."""

from __future__ import annotations

import json
import signal
import sys
import uuid
from dataclasses import dataclass
from typing import Any

from flask import Flask, Response, request
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from marina.console import err, out
from marina.errors import MarinaError
from marina.roads.frontend import (
    LARGEST_REQUEST,
    NotFound,
    Wanted,
    asked_by,
    no_method,
    no_model,
    no_resource,
    no_version,
    segments_of,
    wanted_by,
)
from marina.roads.live import Live
from marina.roads.worker import Answer
from marina.serving.ports import holder_of

HOST = "127.0.0.1"
METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"]
IDLE_S = 10.0  # a browser opens connections ahead, and one that says nothing would keep all others waiting
NOT_FOR_PRODUCTION = "For development only: one request at a time, no batches, no limits, and whoever reaches it runs your code."


@dataclass(frozen=True)
class Served:
    """The versions of a model, and which of them answers where a request names none."""

    versions: dict[str, Live]
    default: str


class Models:
    """What is served, by name; the first is the one that ``/predict`` asks."""

    def __init__(self, served: dict[str, Served]) -> None:
        self.served = served

    def find(self, model: str, version: str | None) -> Live:
        """The version that a request asks for.

        Raises:
            NotFound: it is not served.
        """
        if model not in self.served:
            raise no_model(model)
        found = self.served[model]
        if version is not None and version not in found.versions:
            raise no_version(model, version)
        return found.versions[version or found.default]

    def describe(self, segments: list[str]) -> Any:
        """What the Management API tells of models: a part of it, of what there is without workers of their own."""
        match segments:
            case []:
                names = sorted(self.served)
                return {"models": [{"modelName": name, "modelUrl": self.find(name, None).archive} for name in names]}
            case [model, *rest] if len(rest) <= 1:
                one = self.find(model, rest[0] if rest else None)
                return [{"modelName": model, "modelVersion": one.version, "modelUrl": one.archive, "runtime": "python"}]
            case _:
                raise no_resource()


def application(models: Models) -> Flask:
    """The WSGI application."""
    app = Flask(__name__)
    app.url_map.merge_slashes = False

    @app.route("/", defaults={"path": ""}, methods=METHODS, provide_automatic_options=False)
    @app.route("/<path:path>", methods=METHODS, provide_automatic_options=False)
    def answer(path: str) -> Response:  # noqa: ARG001 - Flask's own idea of it drops slashes
        request_id = str(uuid.uuid4())
        if (request.content_length or 0) > LARGEST_REQUEST:
            return _response(Answer(413, b""), request_id)
        try:
            return _response(_answered(models, segments_of(request.path), request_id), request_id)
        except NotFound as error:
            return _response(error.answer, request_id)
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a debugger that was left keeps Ctrl-C for itself

    return app


def _answered(models: Models, segments: list[str], request_id: str) -> Answer:
    match segments:
        case ["ping", *_]:
            return _document({"status": "Healthy"})
        case ["models", *rest]:
            if request.method != "GET":
                raise no_method()
            return _document(models.describe(rest))
        case ["predict"]:
            wanted = Wanted(next(iter(models.served)), None, explains=False)
        case _:
            wanted = wanted_by(segments)
    live = models.find(wanted.model, wanted.version)
    return live.answer(asked_by(request.get_data(), dict(request.headers), wanted.explains, request_id))


def _document(content: Any) -> Answer:
    body = json.dumps(content, indent=2) + "\n"
    return Answer(200, body.encode(), {"content-type": "application/json"})


def _response(answer: Answer, request_id: str) -> Response:
    """Flask's response with the answer's headers, and no content type where the answer has none."""
    response = Response(answer.body, answer.status)
    del response.headers["Content-Type"]
    response.headers.update(answer.headers)
    response.headers["x-request-id"] = request_id
    return response


class _Handler(WSGIRequestHandler):
    timeout = IDLE_S


def listen(models: Models, port: int) -> BaseWSGIServer:
    """A server that has its port, and does not answer yet. It has one thread, in which a debugger can stop.

    Raises:
        MarinaError: the port is taken.
    """
    try:
        return make_server(HOST, port, application(models), threaded=False, request_handler=_Handler)
    except (OSError, SystemExit) as error:  # werkzeug exits where the port is taken
        raise MarinaError(f"port {port} is taken{holder_of(port)}: stop that, or give another by --port") from error


def serve(models: Models, port: int) -> int:
    """Serve until Ctrl-C; returns the exit code.

    Raises:
        MarinaError: the port is taken.
    """
    sys.dont_write_bytecode = True  # Python takes a file for unchanged that is saved twice in a second
    with listen(models, port) as server:
        for served in models.served.values():
            served.versions[served.default].refresh()
        _show(models, server.port)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            err.print("stopped")
        finally:
            _close(models)
    return 0


def _close(models: Models) -> None:
    for served in models.served.values():
        for live in served.versions.values():
            live.close()


def _show(models: Models, port: int) -> None:
    name = next(iter(models.served))
    for model, served in models.served.items():
        versions = [f"{version} (default)" if version == served.default else version for version in served.versions]
        out.print(f"{model}: {', '.join(versions)}", markup=False)
    out.print(NOT_FOR_PRODUCTION)
    out.print(
        "Ask it, from another terminal:\n"
        f"  curl http://{HOST}:{port}/predictions/{name} -T FILE\n"
        f"  curl http://{HOST}:{port}/predict -F file=@FILE\n"
        "Edit the handler, save, and ask again; breakpoint() in it stops here. Ctrl-C stops it.",
        markup=False,
    )
