"""What is made of a server's counters: sums, differences, quantiles, a table."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from rich.console import Console
from scripts_of_ours import run_script

from marina.watching.counters import Counters, parse
from marina.watching.quantiles import quantile
from marina.watching.screen import screen, table
from marina.watching.status import VersionStatus

TEXT = """# HELP marina_answers_total Torchserve prometheus metric with unit: count
# TYPE marina_answers_total counter
marina_answers_total{model_name="digits",model_version="1.0",kind="predict",status="200",Hostname="a",} 7.0
marina_answers_total{model_name="digits",model_version="1.0",kind="explain",status="422",Hostname="a",} 2.0
marina_answers_total{model_name="digits",model_version="2.0",kind="predict",status="200",Hostname="a",} 5.0
# TYPE marina_batch_rows_sum counter
marina_batch_rows_sum{model_name="digits",model_version="1.0",Hostname="a",} 9.0
"""
STATUS = VersionStatus("digits", "1.0", True, 0.125, 1, 2, 0, 12.34, 1.5, 0.0, 0.25, 3.21, None, 0.5, 2.0)


def shown(renderable: object) -> str:
    console = Console(width=200, color_system=None)
    with console.capture() as captured:
        console.print(renderable)
    return captured.get()


def test_counters_keep_the_names_that_torchserve_gives() -> None:
    """Also those that do not end in _total; sums go over what was not asked for."""
    counters = Counters(0, parse(TEXT))
    assert counters.sum("marina_answers_total", model_name="digits") == 14
    assert counters.sum("marina_batch_rows_sum", model_version="1.0") == 9
    assert counters.by("marina_answers_total", "status", model_version="1.0") == {"200": 7, "422": 2}
    assert counters.sum("marina_answers_total", model_name="wine") == 0
    assert counters.sum("nothing") == 0


def test_a_server_that_was_started_anew_counts_from_nothing() -> None:
    """A counter that fell did not count backwards."""
    before, now = Counters(10, parse(TEXT)), Counters(12, parse(TEXT.replace("} 7.0", "} 3.0").replace("} 5.0", "} 6.0")))
    grown = now.since(before)
    assert grown.at == 2
    assert grown.by("marina_answers_total", "model_version", kind="predict") == {"1.0": 3, "2.0": 1}


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.5, 0.01), (0.25, 0.0055), (0.75, 0.015), (0.99, 0.0198), (1, 0.02)],
)
def test_quantiles_are_interpolated_within_their_bucket(share: float, expected: float) -> None:
    """Ten observations up to 1 ms, 40 up to 10 ms, 50 up to 20 ms, as histogram_quantile has it."""
    buckets = {"0.001": 0.0, "0.01": 50.0, "0.02": 100.0, "+Inf": 100.0}
    assert quantile(share, buckets) == pytest.approx(expected)


def test_quantiles_beyond_the_last_bound_are_that_bound() -> None:
    """What is slower than the histogram knows is not made up; without observations there is no quantile."""
    assert quantile(0.99, {"0.1": 1.0, "1": 1.0, "+Inf": 10.0}) == 1
    assert quantile(0.5, {"0.1": 0.0, "+Inf": 0.0}) is None
    assert quantile(0.5, {}) is None


def test_the_table_says_what_is_not_known() -> None:
    """Workers that are missing, shares and a dash; the default is marked."""
    row = shown(table([STATUS])).splitlines()[1].split()
    assert row == ["digits", "1.0", "(default)", "12.5%", "1/2", "0", "12.3", "0.0%", "25.0%", "3.2", "–", "0.5", "2.0"]
    assert shown(table([replace(STATUS, weight=None)])).splitlines()[1].split()[3] == "–"
    assert shown(table([])) == "no model is registered\n"
    assert shown(screen("title", None, ["12:00:00 gone"])) == "title\n\n12:00:00 gone\n"


@pytest.fixture
def no_metrics() -> Iterator[str]:
    """A web server that is no TorchServe, at an address."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/metrics" else 404)
            self.end_headers()
            self.wfile.write(b"<html>{no metrics}</html>")

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_what_is_no_metrics_api_is_one_line(no_metrics: str) -> None:
    """A page of something else, another path, nothing at all."""
    done = run_script("show_status", "--once", "--metrics", no_metrics)
    assert done.code == 1
    assert done.error.startswith(f"{no_metrics}/metrics does not answer with metrics: ")
    done = run_script("show_status", "--once", "--metrics", f"{no_metrics}/elsewhere")
    assert "404" in done.error
    done = run_script("show_status", "--once", "--metrics", "http://127.0.0.1:9")
    assert done.error == "no Metrics API answers at http://127.0.0.1:9: start one with make serve"


@pytest.mark.parametrize("seconds", ["0", "0.5", "x", "nan", "4000"])
def test_looks_are_of_a_second_at_least(seconds: str) -> None:
    """Workers write what they counted once a second."""
    done = run_script("show_status", "--seconds", seconds)
    assert done.code == 2
    assert f"required a number of seconds from 1 to 3600, found '{seconds}'" in done.err


def test_the_table_fits_on_a_narrow_screen() -> None:
    """A hundred columns are enough, for the values of a busy server too."""
    busy = VersionStatus("digits", "10.0", True, 0.3333, 16, 16, 12, 1234.5, 123.4, 0.999, 0.999, 1234.5, 9999.9, 999.9, 32.0)
    assert max(map(len, shown(table([busy])).splitlines())) <= 100
