"""What a request costs each process of the house, in processor time, memory and series: what docs/scaling.md reckons with."""

from __future__ import annotations

import argparse
import datetime
import http.client
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import requests
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML
from running import served_on_ports

from marina import paths
from marina.comparing.hashed_keys import read_salt
from marina.comparing.recorder import Keeping, Recorder
from marina.comparing.traffic import Traffic
from marina.console import out, run, step
from marina.paths import State, Store
from marina.serving.ports import Ports

SAMPLE = paths.SPECS / "digits" / "seven.png"
RESULTS = Path(__file__).with_name("scaling.json")
WARM = 500
DEPLOYMENT = {
    "models": {
        "digits": {
            "default": "1.0",
            "versions": {version: {"workers": 1, "max_batch_delay_ms": 1} for version in ("1.0", "2.0")},
            "split": {"weights": {"1.0": 50.0, "2.0": 50.0}},
        }
    }
}


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--store", type=Path, default=Store().folder, help="folder of archives/ and index.json (%(default)s)")
    options.add_argument("--requests", type=int, default=4000, help="to measure (%(default)s)")
    options.add_argument("--connections", type=int, default=16, help="at once (%(default)s)")
    options.add_argument("--rows", type=int, default=30_000, help="for the recorder (%(default)s)")
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: _measure(parser().parse_args(argv)))


def _measure(options: argparse.Namespace) -> int:
    first, *others = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {first})  # the house has one core, and so one thread a worker; who asks has the others
    with served_on_ports(DEPLOYMENT, options.store) as ports:
        os.sched_setaffinity(0, set(others) or {first})
        house = _house()
        _ask_many(ports, WARM, options.connections)
        before = {name: _cpu(found) for name, found in house.items()}
        step(f"{options.requests} requests on {options.connections} connections")
        began = time.perf_counter()
        _ask_many(ports, options.requests, options.connections)
        seconds = time.perf_counter() - began
        microseconds = {name: (_cpu(found) - before[name]) / options.requests * 1e6 for name, found in house.items()}
        memory = {name: max(one.memory_info().rss for one in found) / 2**20 for name, found in house.items()}
        series = _series(ports)
    step(f"{options.rows} rows")
    found = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "requests": options.requests,
        "connections": options.connections,
        "answers_a_second": round(options.requests / seconds, 1),
        "cpu_microseconds_a_request": {name: round(one, 1) for name, one in microseconds.items()},
        "memory_mib": {name: round(one) for name, one in memory.items()},
        "series": series,
        "recorder": _recorder(options.rows),
    }
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    out.print_json(data=found)
    return 0


def _house() -> dict[str, list[psutil.Process]]:
    """The processes of the house, by what they are."""
    (served,) = [one for one in psutil.Process().children() if "serve_models.py" in " ".join(one.cmdline())]
    found: dict[str, list[psutil.Process]] = {"serve_models": [served]}
    for one in served.children(recursive=True):
        command = " ".join(one.cmdline())
        kinds = {
            "worker": "model_service_worker.py",
            "frontend": "org.pytorch.serve",
            "gateway": "envoy",
            "recorder": "record_traffic",
        }
        for kind, word in kinds.items():
            if word in command:
                found.setdefault(kind, []).append(one)
                break
    return found


def _cpu(processes: list[psutil.Process]) -> float:
    return sum(one.cpu_times().user + one.cpu_times().system for one in processes)


def _ask_many(ports: Ports, number: int, connections: int) -> None:
    content = SAMPLE.read_bytes()

    def ask(caller: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", ports.gateway_port)
        for each in range(number // connections):
            connection.request("POST", "/predictions/digits", content, {"X-User-Id": f"{caller}-{each}"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == http.client.OK, answer.status  # noqa: S101 - a benchmark of errors would be none
        connection.close()

    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(ask, range(connections)))


def _series(ports: Ports) -> dict[str, int]:
    """How many series Prometheus has of each target, by config/prometheus/prometheus.yml."""
    jobs = YAML(typ="safe", pure=True).load((paths.CONFIG / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    asked = {one["job_name"]: one.get("params", {}) for one in jobs}
    addresses = {
        "torchserve": f"{ports.metrics_port}/metrics",
        "gateway": f"{ports.gateway_internal_port}/stats/prometheus",
        "recorder": f"{ports.recorder_port}/metrics",
    }
    counted = {}
    for job, address in addresses.items():
        text = requests.get(f"http://127.0.0.1:{address}", params=asked[job], timeout=30).text
        counted[job] = sum(1 for line in text.splitlines() if line and not line.startswith("#"))
    assert list(text_string_to_metric_families(text))  # noqa: S101 - it was metrics that were counted
    return counted


def _recorder(rows: int) -> dict[str, Any]:
    """How fast one recorder writes into SQLite, and how much a row takes."""
    with tempfile.TemporaryDirectory(prefix="marina-benchmark-") as folder:
        state = State(Path(folder))
        state.traffic.mkdir()
        lines = (_line(number) for number in range(rows))
        (state.traffic / "access.log").write_text("".join(lines))
        log_bytes = (state.traffic / "access.log").stat().st_size
        with Traffic(state, create=True) as traffic:
            recorder = Recorder(state, traffic, read_salt(state, create=True), Keeping(), "http://127.0.0.1:9")
            cpu, began = time.process_time(), time.perf_counter()
            while traffic.counts()["requests"] < rows:
                recorder.look()
            seconds, worked = time.perf_counter() - began, time.process_time() - cpu
        size = sum(file.stat().st_size for file in state.traffic.glob("traffic.db*"))
    return {
        "rows_a_second": round(rows / seconds),
        "cpu_microseconds_a_row": round(worked / rows * 1e6, 1),
        "database_bytes_a_row": round(size / rows),
        "log_bytes_a_row": round(log_bytes / rows),
    }


def _line(number: int) -> str:
    line = {
        "time": f"2026-11-21T12:{number // 60_000 % 60:02d}:{number // 1000 % 60:02d}.{number % 1000:03d}Z",
        "request_id": f"{number:032x}",
        "model": "digits",
        "route": "predictions",
        "experiment": "digits",
        "key": f"user{number % 9973}",
        "key_from": "header",
        "assigned": "1.0" if number % 2 else "2.0",
        "answered": "1.0" if number % 2 else "2.0",
        "status": 200,
        "first_status": 200,
        "attempts": 1,
        "seconds": 0.004,
        "microseconds": 4012,
        "upstream_seconds": 0.003,
        "request_bytes": 300,
        "response_bytes": 280,
        "flags": "-",
        "sampled_shadow": None,
    }
    return json.dumps(line) + "\n"


if __name__ == "__main__":
    sys.exit(main())
