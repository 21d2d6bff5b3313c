"""What tracing costs a worker: for a batch of one and of eight requests, off and on, and to load."""

from __future__ import annotations

import argparse
import http.server
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from doublers import Doubler, Twice
from rich.table import Table
from workers import Worker, config, traced

from marina.console import out, run, step

FIRST = 200  # batches that are not counted
SITUATIONS = {"off": "", "on": "01", "on, not sampled by the caller": "00", "on, no collector": "01"}
NOWHERE = "http://127.0.0.1:9"
LOAD = """
import time, handlerkit, psutil
before, began = psutil.Process().memory_info().rss, time.perf_counter()
from handlerkit.telemetry import open_tracing
open_tracing("m", "1", "eager", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})
print(time.perf_counter() - began, (psutil.Process().memory_info().rss - before) / 1e6)
"""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=9, help="of all situations, one after the other (%(default)s)")
    options.add_argument("--batches", type=int, default=500, help="of one situation in a round (%(default)s)")
    options.add_argument("--json", action="store_true", help="print results as JSON")
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; returns its exit code."""
    return run(lambda: _measure(parser().parse_args(argv)))


def _measure(options: argparse.Namespace) -> int:
    torch.set_num_threads(1)
    found: dict[str, dict[int, list[float]]] = {name: {1: [], 8: []} for name in SITUATIONS}
    with _sink() as url, tempfile.TemporaryDirectory(prefix="marina-benchmark-") as folder:
        workers = {name: _worker(Path(folder) / str(number), name, url) for number, name in enumerate(SITUATIONS)}
        for number in range(options.rounds):
            for name, worker in workers.items():
                for rows in (1, 8):
                    found[name][rows].append(_microseconds(worker, rows, SITUATIONS[name], options.batches))
            step(f"round {number + 1}")
    _show({name: {rows: min(times) for rows, times in of.items()} for name, of in found.items()}, options.json)
    return 0


def _worker(folder: Path, name: str, url: str) -> Worker:
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = "" if name == "off" else NOWHERE if "no collector" in name else url
    return Worker(Doubler(), traced(folder, Twice(), (1,)), config())


def _microseconds(worker: Worker, rows: int, flags: str, batches: int) -> float:
    """The median time of a batch."""
    header = {"traceparent": f"00-{1:032x}-{1:016x}-{flags}"} if flags else {}
    times = []
    for _ in range(FIRST + batches):
        began = time.perf_counter()
        worker.ask(*[{"body": 1}] * rows, headers=[header] * rows)
        times.append(time.perf_counter() - began)
    return statistics.median(times[FIRST:]) * 1e6


@contextmanager
def _sink() -> Iterator[str]:
    """The address of a collector that reads and forgets."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _show(quietest: dict[str, dict[int, float]], as_json: bool) -> None:
    seconds, megabytes = map(float, subprocess.check_output([sys.executable, "-c", LOAD], text=True).split())
    if as_json:
        print(json.dumps({"microseconds": quietest, "load_seconds": seconds, "load_megabytes": megabytes}))  # noqa: T201
        return
    table = Table("tracing", "one request, µs", "eight requests, µs", box=None, pad_edge=False)
    for name, of in quietest.items():
        table.add_row(name, f"{of[1]:.0f}", f"{of[8]:.0f}")
    out.print(table)
    out.print(f"to load, when it is on: {seconds:.2f} s, {megabytes:.0f} MB a worker")


if __name__ == "__main__":
    sys.exit(main())
