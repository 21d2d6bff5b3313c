"""Loads by a real generator on real servers, and the statistics of what comes of them."""

from __future__ import annotations

import importlib.util
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import requests
from envoys import Envoy, envoy
from scripts_of_ours import call_script

from marina.errors import MarinaError, UsageError
from marina.measuring.comparing import interleaved, median_interval, ratio
from marina.measuring.curve import curve
from marina.measuring.load import Load, Request, measure
from marina.measuring.measurement import Measurement
from marina.measuring.order import Answers
from marina.measuring.picture import drawn
from marina.measuring.showing import in_milliseconds
from marina.serving.polling import pause

SECOND = 1.0


def measurement(latencies: list[float], *, seconds: float = 1.0) -> Measurement:
    """A closed loop's, of good answers that all came in time."""
    waited = np.array(latencies)
    due = np.zeros(len(latencies))
    good = np.full(len(latencies), 200)
    answers = Answers(due, due, due + waited, good, good > 0, np.empty(0), 0, {}, 0.1, None)
    return Measurement(answers, seconds, None, 1)


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
    busy = Measurement(found.answers, found.answers.processor_seconds, None, 32)  # had it had its core to itself
    assert found.generator_share > 0.3
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


def test_cases_are_measured_in_turn_the_other_way_round_every_other_time() -> None:
    """So that neither is always first, and what slows the machine slows both."""
    order: list[str] = []

    def case(name: str, seconds: float) -> Measurement:
        order.append(name)
        return measurement([seconds] * 10)

    rounds = interleaved({"a": lambda: case("a", 0.2), "b": lambda: case("b", 0.1)}, 6)
    assert order == ["a", "b", "b", "a"] * 3
    found = ratio(rounds, "a", "b", "p50")
    assert (found.median, found.low, found.high) == pytest.approx((2, 2, 2))


@pytest.mark.parametrize(
    ("count", "low", "high", "confidence"),
    [(2, 1, 2, 0.5), (5, 1, 5, 0.9375), (6, 1, 6, 0.96875), (9, 2, 8, 0.9609), (10, 2, 9, 0.9785), (20, 6, 15, 0.9586)],
)
def test_intervals_are_those_of_the_tables(count: int, low: float, high: float, confidence: float) -> None:
    """Le Boudec's table A.1 of order statistics at 95 %; of fewer than six values the least and the greatest."""
    found = median_interval([float(value) for value in range(count, 0, -1)])
    assert (found.low, found.high) == (low, high)
    assert found.confidence == pytest.approx(confidence, abs=1e-4)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Of ratios with heavy tails, whose true median is known."""
    drawn = np.random.default_rng(7).standard_t(2, size=(2000, 10))
    found = [median_interval([float(value) for value in row]) for row in drawn]
    held = sum(one.low <= 0 <= one.high for one in found) / len(found)
    assert abs(held - found[0].confidence) < 0.02


def test_a_server_that_goes_away_ends_the_load(tmp_path: Path) -> None:
    """However long the load was to last, and with what had been answered until then."""
    with envoy(Path("/dev/null"), tmp_path) as started:
        ending = threading.Timer(SECOND * 2, lambda: requests.post(f"{started.admin}/quitquitquit", timeout=5))
        ending.start()
        with pytest.raises(MarinaError, match=rf"^{started.url} stopped answering, after \d+ answers: .*"):
            measure(started.url, [Request("/", b"one")], Load(connections=2, seconds=100))


def test_a_program_reads_all_of_a_measurement() -> None:
    """In seconds, with nothing that JSON cannot have."""
    found = measurement([0.1, 0.2, 0.3]).document()
    assert found["latency_seconds"] == {"p50": 0.2, "p90": 0.28, "p95": 0.29, "p99": 0.298, "max": 0.3}
    assert (found["sent"], found["statuses"], found["throughput_per_second"]) == (3, {"200": 3}, 3)
    assert measurement([]).document()["latency_seconds"]["p50"] is None


def test_milliseconds_have_the_digits_that_can_be_read() -> None:
    """No exponents."""
    assert [in_milliseconds(one) for one in (0.0012345, 0.012345, 1.23456, float("nan"))] == ["1.23", "12.3", "1235", "-"]


def opened(rate: float, answers: int) -> Measurement:
    """An open loop of a second, of which so many answers came in time."""
    due = np.linspace(0, 0.9, answers)
    found = Answers(due, due, due + 0.01, np.full(answers, 200), due >= 0, np.empty(0), 0, {}, 0.1, None)
    return Measurement(found, 1.0, rate, 8)


def test_a_picture_shades_where_the_server_falls_behind() -> None:
    """Both its halves, and not where everything was answered; names of lines do not lie on each other."""
    measured = {10.0: opened(10, 10), 20.0: opened(20, 20), 40.0: opened(40, 21)}
    loads = [Load(rate=rate) for rate in (40.0, 10.0, 20.0)]
    found = curve(lambda load: measured[load.rate or 0], loads)
    assert found.over == [10, 20, 40]
    for axes in drawn(found, "digits").axes:
        texts = [text.get_text() for text in axes.texts]
        assert " falls behind" in texts
    heights = [text.get_position()[1] for text in axes.texts if text.get_text().startswith("p")]
    assert all(upper - lower > 0.05 for upper, lower in pairwise(heights))
    kept = curve(lambda load: measured[load.rate or 0], loads[1:])
    assert not any("behind" in text.get_text() for axes in drawn(kept, "digits").axes for text in axes.texts)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required a model, or two with --compare; found neither"),
        (["digits", "--compare", "a", "b"], "required a model, or two with --compare; found both"),
        (["--compare", "a/1.0", "a/1.0"], "--compare takes two different ones; found a/1.0 twice"),
        (["--compare", "a", "b", "--rates", "1,2"], "--compare takes one load, and versions as MODEL/VERSION: no --version, .*"),
        (["--compare", "a", "b", "--rounds", "0"], "--rounds must be 1 or more; found 0"),
        (["digits", "--picture", "a.png"], "--picture draws a curve: give several, such as --rates 10,20,50,100 or .*"),
        (["digits", "--rates", "1,2", "--picture", "a.gif"], "--picture a.gif: required a name that ends in .png, .svg, .pdf"),
        (["digits", "--rates", "1,2", "--picture", "/nowhere/a.png"], "--picture /nowhere/a.png: /nowhere is no folder"),
        (["digits", "--rates", "1,2", "--connections", "1,2"], "several rates, or several numbers of connections, not both"),
        (["digits", "--seconds", "0"], "seconds must be more than 0; found 0"),
        (["digits", "--gateway-keys", "/nowhere"], "/nowhere: the gateway's keys cannot be read: No such file or directory; .*"),
    ],
)
def test_a_wrong_command_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    """Before any server is asked."""
    done = call_script(capsys, "benchmark_model", *arguments)
    assert done.code == 2
    assert re.fullmatch(message, done.error)


def test_numbers_that_are_none_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Connections are whole."""
    with pytest.raises(SystemExit, match="2"):
        call_script(capsys, "benchmark_model", "digits", "--connections", "1.5")
    assert "required whole numbers with commas between them; found '1.5'" in " ".join(capsys.readouterr().err.split())


def test_what_to_install_is_said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Locust is not part of make setup."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    done = call_script(capsys, "benchmark_model", "digits")
    assert (done.code, done.error) == (
        2,
        f"loads are generated by Locust, which is not installed: {sys.executable} -m pip install locust",
    )
