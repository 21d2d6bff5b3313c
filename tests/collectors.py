"""A collector of OpenTelemetry: it takes OTLP over HTTP, and reads it by OpenTelemetry's own protobuf classes."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from servers import eventually

PATH = "/v1/traces"
ERROR = 2  # of a status, by the protocol


@dataclass(frozen=True)
class Seen:
    """A span as it was sent, ids in hexadecimal."""

    name: str
    kind: str
    trace: str
    span: str
    parent: str
    is_error: bool
    status_text: str
    attributes: dict[str, Any]
    resource: dict[str, Any]
    started: int
    ended: int
    links: int
    events: int


@dataclass
class Collector:
    """What has come so far."""

    url: str
    spans: list[Seen] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def of_trace(self, trace: str) -> list[Seen]:
        """The spans of a trace, as they began."""
        return sorted((span for span in list(self.spans) if span.trace == trace), key=lambda one: one.started)

    def wait_for(self, trace: str, spans: int) -> list[Seen]:
        """The spans of a trace, once so many have come."""
        assert eventually(lambda: len(self.of_trace(trace)) >= spans), f"{trace}: {self.of_trace(trace)}"
        return self.of_trace(trace)

    def wait_for_any(self) -> str:
        """The id of a trace, once there is one."""
        assert eventually(lambda: bool(self.spans)), "no span has come"
        return self.spans[0].trace

    def take(self, body: bytes, headers: dict[str, str]) -> None:
        """Read what was exported."""
        self.bodies.append(body)
        self.headers.append(headers)
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = _values(group.resource.attributes)
            self.spans += [_seen(span, resource) for scope in group.scope_spans for span in scope.spans]


@contextmanager
def collector(port: int = 0, status: int = 200, released: threading.Event | None = None) -> Iterator[Collector]:
    """Collect on loopback.

    Args:
        port: 0 takes a free one.
        status: that it answers with.
        released: until this is set, it takes connections and answers none.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if released is not None:
                released.wait()
            if self.path == PATH and status == 200:
                unpacked = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
                collected.take(unpacked, dict(self.headers))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    collected = Collector(f"http://127.0.0.1:{server.server_port}")
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    serving.start()
    try:
        yield collected
    finally:
        server.shutdown()
        server.server_close()


def _seen(span: Span, resource: dict[str, Any]) -> Seen:
    return Seen(
        span.name,
        Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.status.code == ERROR,
        span.status.message,
        _values(span.attributes),
        resource,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        len(span.links),
        len(span.events),
    )


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
