"""Loads by a real generator on real servers."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import requests
from envoys import Envoy, envoy
from measurements import measurement

from marina.errors import MarinaError, UsageError
from marina.measuring.load import Load, Request, measure
from marina.measuring.measurement import Measurement
from marina.serving.polling import pause, wait_for

SECOND = 1.0


class Slow(BaseHTTPRequestHandler):
    """Answers at once, but for one moment in which nobody is answered."""

    protocol_version = "HTTP/1.1"
    stalls: threading.Event
    lock: threading.Lock
    bodies: list[bytes]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.bodies.append(body)
        with self.lock:
            if len(self.bodies) == 30 and self.stalls.is_set():
                pause(SECOND)
        status = 503 if body == b"bad" else 200
        self.send_response(status)
        content = b'{"message": "no"}' if body == b"bad" else b"{}"
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - its name in http.server
        """Say nothing."""


class Listening(ThreadingHTTPServer):
    """A server for more than five connections at once."""

    request_queue_size = 64
    daemon_threads = True


@contextmanager
def slow(*, stalls: bool = False) -> Iterator[tuple[str, list[bytes]]]:
    """A server, and the bodies that it was sent."""
    flag = threading.Event()
    if stalls:
        flag.set()
    handler = type("Own", (Slow,), {"stalls": flag, "lock": threading.Lock(), "bodies": []})
    server = Listening(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler.bodies  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Envoy]:
    """A server that answers sooner than the generator can ask."""
    folder = tmp_path_factory.mktemp("envoy")
    with envoy(Path("/dev/null"), folder) as started:
        yield started


def test_a_closed_loop_sends_every_request_in_turn_and_counts_every_answer() -> None:
    """Bodies come in their order, again and again; whatever is no 200 is counted apart, with what it says."""
    with slow() as (url, bodies):
        asked = [Request("/predictions/a", body) for body in (b"one", b"two", b"bad")]
        found = measure(url, asked, Load(connections=1, seconds=0.5, warm_up_seconds=0.1))
    assert bodies[:6] == [b"one", b"two", b"bad"] * 2
    assert set(found.statuses) == {200, 503}
    assert abs(found.statuses[200] - 2 * found.statuses[503]) <= 2
    assert found.latencies.size == found.statuses[200]
    assert found.answers.examples == {"503": '{"message": "no"}'}
    assert found.warnings[-1] == f"{found.failed} of {found.sent} requests failed: {found.failed} × 503"


def test_an_open_loop_counts_from_when_a_request_was_due() -> None:
    """While a server stalls, requests go on being due: their wait counts, which a closed loop of one connection does not see."""
    asked = [Request("/predictions/a", b"one")]
    with slow(stalls=True) as (url, _):
        found = measure(url, asked, Load(connections=64, rate=40, seconds=2, warm_up_seconds=0))
    with slow(stalls=True) as (url, _):
        closed = measure(url, asked, Load(connections=1, seconds=2, warm_up_seconds=0))
    assert np.sum(found.latencies > SECOND / 4) >= 20
    assert np.sum(closed.latencies > SECOND / 4) == 1
    assert abs(found.sent - 80) <= 2


def test_more_than_a_server_answers_is_said(fast: Envoy) -> None:
    """What was due and never sent is counted, and what was answered is measured all the same."""
    found = measure(fast.url, [Request("/", b"one")], Load(connections=1, rate=100_000, seconds=0.5, warm_up_seconds=0.1))
    assert found.answers.unsent > 0
    assert found.throughput > 0
    assert found.percentile(50) > 0
    assert not found.kept_up
    said = r"\d.* answers a second came of the 100000 that were due over 1 connections, for which \d+ requests still waited"
    assert any(re.match(said, text) for text in found.warnings)


def test_a_generator_at_its_limit_is_said(fast: Envoy) -> None:
    """Where a server answers sooner than the generator asks, what was measured is the generator."""
    found = measure(fast.url, [Request("/", b"one")], Load(connections=32, seconds=1, warm_up_seconds=0.1))
    busy = Measurement(found.answers, found.answers.processor_seconds, None, 32)  # as if nothing else had run on its core
    assert found.generator_share > 0
    assert "the load generator used 100% of its one core: what was measured is it, not the server" in busy.warnings
    assert not any("generator" in text for text in measurement([0.1]).warnings)


def test_nobody_there_is_one_line() -> None:
    """A server that does not answer, or no more, is named."""
    with slow() as (url, _):
        pass
    with pytest.raises(MarinaError, match=rf"^{url} does not answer: ConnectionRefusedError: .*refused"):
        measure(url, [Request("/", b"one")], Load(connections=2, seconds=30))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"connections": 0}, "connections must be from 1 to 1000; found 0"),
        ({"rate": 0}, "rate must be more than 0 requests a second; found 0"),
        ({"seconds": 0}, "seconds must be more than 0; found 0"),
        ({"warm_up_seconds": -1}, "warm-up seconds must be 0 or more; found -1"),
        ({"seconds": float("inf")}, "seconds must be more than 0; found inf"),
        ({"rate": float("nan")}, "rate must be more than 0 requests a second; found nan"),
    ],
)
def test_a_load_that_cannot_be_is_refused(wrong: dict[str, float], message: str) -> None:
    """Before anything is sent."""
    with pytest.raises(UsageError, match=f"^{message}$"):
        Load(**wrong)  # type: ignore[arg-type]


def test_no_requests_are_refused() -> None:
    """A load needs something to send."""
    with pytest.raises(UsageError, match=r"^there are no requests to send: give at least one$"):
        measure("http://127.0.0.1:1", [], Load())


def end_once_it_has_answered(started: Envoy) -> None:
    """Have a server go away in the middle of a load."""
    figures = f"{started.admin}/stats?filter=callers.downstream_rq_2xx"
    wait_for(lambda: not requests.get(figures, timeout=5).text.strip().endswith(": 0"), 60)
    requests.post(f"{started.admin}/quitquitquit", timeout=5)


def test_a_server_that_goes_away_ends_the_load(tmp_path: Path) -> None:
    """However long the load was to last, and with what had been answered until then."""
    with envoy(Path("/dev/null"), tmp_path) as started:
        threading.Thread(target=end_once_it_has_answered, args=(started,)).start()
        with pytest.raises(MarinaError, match=rf"^{started.url} stopped answering, after \d+ answers: .*"):
            measure(started.url, [Request("/", b"one")], Load(connections=2, seconds=100))
