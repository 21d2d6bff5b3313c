"""The exporter: looks at each source in a thread of its own, and answers Prometheus, and /ready, with the last look.

A source that cannot be read, or that takes longer than STALE_SECONDS to answer, is said to be down, and what it said
before is no longer said: an old number would pass for a new one.
"""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from marina.console import out, step
from marina.errors import MarinaError
from marina.serving.ports import holder_of
from marina.watching.exported import EXPORTED, SOURCE_UP, Exported, Sample
from marina.watching.ready import missing
from marina.watching.sources import FAILURES, Source

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

STALE_SECONDS = 10.0


class Looking:
    """A source, and what it said last."""

    def __init__(self, source: Source, seconds: float) -> None:
        """Take the source, and how long to wait between two looks."""
        self._source = source
        self._seconds = seconds
        self._said: tuple[float, list[Sample]] | None = None
        self._complaint = ""

    def start(self, over: threading.Event) -> None:
        """Look again and again in a thread, until it is over."""
        threading.Thread(target=self._look_until, args=(over,), name=self._source.name, daemon=True).start()

    def samples(self) -> Iterator[Sample]:
        """What the source says now, first whether it says anything."""
        said = self._said
        fresh = said is not None and time.monotonic() - said[0] < self._seconds + STALE_SECONDS
        yield Sample(SOURCE_UP, (self._source.name,), fresh)
        if said is not None and fresh:
            yield from said[1]

    def _look_until(self, over: threading.Event) -> None:
        while True:
            self._look()
            if over.wait(self._seconds):
                return

    def _look(self) -> None:
        try:
            self._said, complaint = (time.monotonic(), list(self._source.look())), ""
        except FAILURES as error:
            self._said, complaint = None, " ".join(str(error).split())[:300]
        if complaint != self._complaint:
            step(f"{time.strftime('%H:%M:%S')}  {self._source.name}: {complaint or 'answers again'}")
        self._complaint = complaint


class Exporter(Collector):
    """All sources, as Prometheus's client collects them."""

    def __init__(self, sources: Iterable[Source], seconds: float) -> None:
        """Take the sources, and how long to wait between two looks at each."""
        self._lookings = [Looking(source, seconds) for source in sources]
        self._over = threading.Event()

    def __enter__(self) -> Exporter:
        for looking in self._lookings:
            looking.start(self._over)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def samples(self) -> list[Sample]:
        """All that is known now."""
        return [sample for looking in self._lookings for sample in looking.samples()]

    def collect(self) -> Iterable[Metric]:
        """Every metric, also those without a sample, so that it is seen which there are."""
        samples = self.samples()
        return [_family(name, exported, samples) for name, exported in EXPORTED.items()]


def _family(name: str, exported: Exported, samples: Sequence[Sample]) -> Metric:
    kind = CounterMetricFamily if exported.kind == "counter" else GaugeMetricFamily
    family: CounterMetricFamily | GaugeMetricFamily = kind(name, exported.meaning, labels=exported.labels)
    for sample in samples:
        if sample.name == name:
            family.add_metric(sample.labels, float(sample.value))
    return family


def export(sources: Iterable[Source], seconds: float, address: str, port: int, stopping: threading.Event) -> None:
    """Answer on a port until we are asked to stop.

    Raises:
        MarinaError: the port cannot be had.
    """
    with Exporter(sources, seconds) as exporter:
        registry = CollectorRegistry()
        registry.register(exporter)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        try:
            threads = _ThreadsOf6 if ":" in address else _Threads
            server = make_server(address, port, _application(exporter, registry), threads, _Silent)
        except OSError as error:
            raise MarinaError(_refused(error, address, port)) from error
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        out.print(f"exporter  http://{address}:{port}/metrics\n\nCtrl-C stops it.", markup=False)
        stopping.wait()
        server.shutdown()
        thread.join()
        server.server_close()


class _Threads(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _ThreadsOf6(_Threads):
    address_family = socket.AF_INET6


class _Silent(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Probes and Prometheus ask again and again."""


def _application(exporter: Exporter, registry: CollectorRegistry) -> WSGIApplication:
    """/ready where one worker of each deployed version is READY, /ready?strict where all are; else the metrics."""
    metrics = make_wsgi_app(registry)

    def answer(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/ready":
            return list(metrics(environ, start))
        lacks = missing(exporter.samples(), strict=environ.get("QUERY_STRING") == "strict")
        start("503 Service Unavailable" if lacks else "200 OK", [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{line}\n".encode() for line in lacks or ["ready"]]

    return answer


def _refused(error: OSError, address: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        move = "stop that, or move with EXPORTER_PORT=<port> in the environment or in .env"
        return f"port {port} is taken{holder_of(port)}: {move}"
    return f"--address: cannot listen on {address}: {error.strerror or error}"
