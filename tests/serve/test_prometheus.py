"""What we watch by, watching for real: every query of every dashboard and rule, and an arm that dies."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
from metrics_api import samples
from queries import Asked, of_dashboards, of_rules, without_thresholds
from servers import READY, Serving, eventually, serving
from watched import Prometheus, prometheus, script

from marina import paths
from marina.comparing.guardrails import Bounds
from marina.comparing.rollout import Record, Rollout
from marina.comparing.split import Split
from marina.config.self_signed import write_pair
from marina.gateway.gateway import Gateway
from marina.paths import State, Store
from marina.serving.free_ports import free_ports
from marina.serving.management import Management

DEPLOYMENT = """
models:
  digits:
    default: "1.0"
    versions: {"1.0": {workers: 1}, "2.0": {workers: 1}}
    split: {weights: {"1.0": 50, "2.0": 50}}
    shadow: {version: "2.0", percent: 50, in_flight: 1}
    objectives: {p99_ms: 5000, errors_percent: 5}
"""
CALLERS = 4
QUERIES = [*of_dashboards(), *of_rules()]
WITHOUT_DATA = {
    "machine: GPU: A": "the machine has none",
    "machine: GPU: B": "the machine has none",
}
ENDED = Rollout(
    model="digits",
    candidate="2.0",
    current="1.0",
    steps=[50],
    bake_seconds=1,
    max_bake_seconds=1,
    min_requests=1,
    bounds=Bounds(),
    before=Split(weights={"1.0": 100, "2.0": 0}),
    file_weights={"1.0": 100, "2.0": 0},
    began=datetime(2026, 11, 21, tzinfo=UTC),
    status="done",
)


@dataclass(frozen=True)
class Watched:
    """A server with who watches it."""

    server: Serving
    prometheus: Prometheus
    management: Management


@pytest.fixture(scope="module")
def watched(store: Store, tmp_path_factory: pytest.TempPathFactory, seven: bytes) -> Iterator[Watched]:
    """TorchServe under load, the exporter, Prometheus with our rules."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not on the path (Debian: apt install prometheus)")
    folder = tmp_path_factory.mktemp("watched")
    (folder / "deployment.yaml").write_text(DEPLOYMENT)
    (folder / "config.properties").write_text(paths.SERVER_CONFIG.read_text() + "\n# in a hurry\nmetric_time_interval=2\n")
    write_pair(folder / "certificate.pem", folder / "key.pem", [], 60, replace=False)
    options: list[str | Path] = ["--deployment", folder / "deployment.yaml", "--config", folder / "config.properties"]
    with serving(free_ports(), store, folder, *options) as server:
        server.wait_for_output(READY)
        Record(State(folder / "state"), "digits").write(ENDED)
        told = ["--deployment", folder / "deployment.yaml", "--certificate", folder / "certificate.pem"]
        told += ["--state", folder / "state", "--seconds", "0.5"]
        with script("export_metrics", server, *told), prometheus(server) as running, load(server, seven):
            yield Watched(server, running, Management(server.url("", "management")))


@contextmanager
def load(server: Serving, seven: bytes) -> Iterator[None]:
    """Callers of both arms and of each version, at once: predictions, explanations, bad requests."""
    over = threading.Event()

    def ask(caller: int) -> None:
        while not over.wait(0.02):
            with contextlib.suppress(requests.RequestException):  # a test takes the server away
                for user in range(caller, 40, CALLERS):
                    who = {"X-User-Id": f"user-{user}"}
                    requests.post(server.url("/predictions/digits", "gateway"), data=seven, headers=who, timeout=60)
                server.ask("/explanations/digits/2.0", seven)
                for version in ("1.0", "2.0"):
                    server.ask(f"/predictions/digits/{version}", b"no image")

    callers = [threading.Thread(target=ask, args=(caller,)) for caller in range(CALLERS)]
    for caller in callers:
        caller.start()
    try:
        yield
    finally:
        over.set()
        for caller in callers:
            caller.join()


def test_every_target_that_runs_is_scraped(watched: Watched) -> None:
    """TorchServe, the gateway, the exporter, the recorder, Prometheus itself."""

    def scraped() -> set[str]:
        targets = watched.prometheus.ask("targets")["activeTargets"]
        return {one["labels"]["job"] for one in targets if one["health"] == "up"}

    assert eventually(lambda: scraped() == {"torchserve", "gateway", "exporter", "recorder", "prometheus"})
    assert "Hostname" not in watched.prometheus.ask("labels")


def test_a_killed_worker_is_counted(watched: Watched) -> None:
    """As a restart, once; the version is READY again."""
    restarts = 'marina_worker_restarts_total{model_version="1.0"}'
    assert eventually(lambda: watched.prometheus.now(restarts) == {"digits 1.0": 0})
    (worker,) = watched.management.versions("digits")["1.0"].workers
    os.kill(worker.pid, signal.SIGKILL)
    assert eventually(lambda: watched.prometheus.now(restarts) == {"digits 1.0": 1}, 60)
    assert eventually(lambda: watched.management.versions("digits")["1.0"].is_ready)


def test_a_moved_split_is_told(watched: Watched) -> None:
    """As the gateway has taken it, whatever the file says."""
    weights = {"digits digits 1.0": 0.5, "digits digits 2.0": 0.5}
    assert eventually(lambda: watched.prometheus.now("marina_split_weight_ratio") == weights)
    gateway = Gateway(State(watched.server.folder / "state"), watched.server.url("", "gateway_internal"))
    gateway.set_split("digits", Split(weights={"1.0": 60, "2.0": 40}))
    weights = {"digits digits 1.0": 0.6, "digits digits 2.0": 0.4}
    assert eventually(lambda: watched.prometheus.now("marina_split_weight_ratio") == weights)


@pytest.mark.timeout(300)
def test_an_alert_fires_for_a_dead_arm_and_resolves(watched: Watched) -> None:
    """Its only worker is taken away, and given back; the other arm answers, and is not reported."""
    firing = 'ALERTS{alertname="ArmWithoutWorkers", alertstate="firing"}'
    assert eventually(lambda: watched.prometheus.now(firing) == {}, 60)
    watched.management.scale("digits", "2.0", 0)
    assert eventually(lambda: "ArmWithoutWorkers" in watched.prometheus.firing(), 60)
    assert watched.prometheus.now(firing) == {"ArmWithoutWorkers firing digits digits 2.0 page": 1}
    assert eventually(lambda: bool(samples(watched.server, "Requests5XX")), 60), "TorchServe says 503, which is counted"
    watched.management.scale("digits", "2.0", 1)
    assert eventually(lambda: "ArmWithoutWorkers" not in watched.prometheus.firing(), 120)


@pytest.fixture(scope="module")
def silent(watched: Watched) -> set[str]:
    """Where the queries stand that return nothing, however long one waits."""
    left = set(QUERIES)

    def none_left() -> bool:
        left.difference_update([asked for asked in left if watched.prometheus.has_data(asked.expression)])
        return not {asked.where for asked in left} - WITHOUT_DATA.keys()

    eventually(none_left, 90)
    return {asked.where for asked in left}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("asked", QUERIES, ids=lambda asked: asked.where)
def test_every_query_returns_data(silent: set[str], asked: Asked) -> None:
    """Panels, marks, recorded series, and what alerts compare; exceptions have a reason, and are none where they return."""
    assert (asked.where in silent) == (asked.where in WITHOUT_DATA), asked.expression


def test_exceptions_are_queries_that_there_are() -> None:
    """No reason is left over."""
    assert WITHOUT_DATA.keys() <= {asked.where for asked in QUERIES}


def test_thresholds_become_values() -> None:
    """So that an alert's expression has a value also where it does not fire; matchers stay as they are."""
    assert without_thresholds('a{b!="c"} > 0 unless on (d) e == 1') == 'a{b!="c"} > bool 0 and on (d) e == bool 1'
    assert without_thresholds('a >= b and c{d=~"e|f"} < on (g) h') == 'a >= bool b and c{d=~"e|f"} < bool on (g) h'


@pytest.mark.timeout(300)
def test_the_exporter_outlives_torchserve(watched: Watched, store: Store) -> None:
    """Gone: it says so, and forgets what it knew; back: it knows anew, and calls no worker of the new server a restart."""
    ready, up = "marina_workers_ready", 'marina_source_up{source="torchserve"}'
    before = watched.prometheus.now("marina_worker_restarts_total")
    watched.server.stop()
    assert eventually(lambda: watched.prometheus.now(up) == {"torchserve": 0}, 60)
    assert eventually(lambda: "TorchServeDown" in watched.prometheus.firing(), 60)
    assert eventually(lambda: watched.prometheus.now(ready) == {})
    again = Path(watched.server.folder) / "again"
    options: list[str | Path] = [
        "--deployment",
        watched.server.folder / "deployment.yaml",
        "--state",
        watched.server.folder / "state",
    ]
    with serving(watched.server.ports, store, again, *options) as server:
        server.wait_for_output(READY)
        assert eventually(lambda: watched.prometheus.now(ready) == {"digits 1.0": 1, "digits 2.0": 1}, 60)
        assert eventually(lambda: "TorchServeDown" not in watched.prometheus.firing(), 60)
        assert watched.prometheus.now("marina_worker_restarts_total") == before
