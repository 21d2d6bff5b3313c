"""The tables of docs/scaling.md, reckoned from what benchmarks/scaling.py measured; --update writes them into the page."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marina import paths
from marina.console import out, run

PAGE = paths.ROOT / "docs" / "scaling.md"
MEASURED = Path(__file__).with_name("scaling.json")
BEGIN, END = "<!-- reckoned by benchmarks/scaling_table.py -->\n", "<!-- end of what was reckoned -->"
RATES = (100, 10_000, 1_000_000)

BUSY = 0.7  # of the time that a core may work, as config/kubernetes/kubernetes.yaml has it
CORES_A_POD, CORES_A_GATEWAY = 8, 4  # what we choose to put into one
FEWEST = 2  # pods of anything, so that one may go
ROLLOUT_SECONDS = 600  # in which all pods are to have another archive
SCRAPE_SECONDS = 10
DAY = 86_400


@dataclass(frozen=True)
class Case:
    """A network: what a request costs a core besides what the house costs, and what goes over the wire.

    Attributes:
        name: of it.
        network_ms: of a core; 0 where what was measured has it already.
        request_kb: that come with a request.
        archive_mb: of one version.
    """

    name: str
    network_ms: float
    request_kb: float
    archive_mb: float


# 35 ms on two threads for eight images: "What a precision is worth" in benchmarks/README.md. A JPEG of 224 pixels and more.
CASES = (Case("digits, as measured", 0.0, 0.3, 0.1), Case("ResNet-18, OpenVINO int8", 35 * 2 / 8, 65.0, 12.0))


@dataclass(frozen=True)
class Need:
    """What a rate needs of one network.

    Attributes:
        rate: requests a second.
        case: the network.
        measured: what a request costs.
    """

    rate: int
    case: Case
    measured: dict[str, Any]

    def _cores(self, *kinds: str) -> float:
        costs = self.measured["cpu_microseconds_a_request"]
        return self.rate * float(sum(costs[kind] for kind in kinds)) / 1e6 / BUSY

    @property
    def worker_cores(self) -> float:
        """Workers of one thread each, so as many workers."""
        return self._cores("worker") + self.rate * self.case.network_ms / 1e3 / BUSY

    @property
    def frontend_cores(self) -> float:
        """TorchServe's Java."""
        return self._cores("frontend")

    @property
    def pods(self) -> int:
        """Of TorchServe."""
        return max(FEWEST, math.ceil((self.worker_cores + self.frontend_cores) / CORES_A_POD))

    @property
    def gateways(self) -> int:
        """Replicas of Envoy."""
        return max(FEWEST, math.ceil(self._cores("gateway") / CORES_A_GATEWAY))

    @property
    def recorders_full(self) -> float:
        """How many times the rows are what the recorders, one a gateway, can write."""
        return self.rate / self.gateways / float(self.measured["recorder"]["rows_a_second"])

    @property
    def database_gb_a_day(self) -> float:
        """That the record grows by, without a sample."""
        return self.rate * DAY * float(self.measured["recorder"]["database_bytes_a_row"]) / 1e9

    @property
    def wire_gbit(self) -> float:
        """That callers send, a second."""
        return self.rate * self.case.request_kb * 8 / 1e6

    @property
    def store_gbit(self) -> float:
        """That the store must send while all pods get a version within ROLLOUT_SECONDS."""
        return self.pods * self.case.archive_mb * 8 / 1e3 / ROLLOUT_SECONDS

    @property
    def series(self) -> int:
        """That Prometheus has of two versions."""
        counted = self.measured["series"]
        return int(self.pods * counted["torchserve"] + self.gateways * (counted["gateway"] + counted["recorder"]))

    @property
    def connections(self) -> int:
        """From every gateway to every pod, one for each thread of Envoy."""
        return self.gateways * CORES_A_GATEWAY * self.pods


ROWS: tuple[tuple[str, Callable[[Need], float]], ...] = (
    ("workers (a core each)", lambda need: math.ceil(need.worker_cores)),
    ("cores for TorchServe's Java", lambda need: math.ceil(need.frontend_cores)),
    (f"pods of {CORES_A_POD} cores", lambda need: need.pods),
    (f"gateways of {CORES_A_GATEWAY} cores", lambda need: need.gateways),
    ("connections between them", lambda need: need.connections),
    ("rows a second, in what a gateway's recorder can write", lambda need: need.recorders_full),
    ("the record, GB a day", lambda need: need.database_gb_a_day),
    ("callers' bytes, Gbit/s", lambda need: need.wire_gbit),
    ("the store during a rollout of ten minutes, Gbit/s", lambda need: need.store_gbit),
    ("series in Prometheus", lambda need: need.series),
    ("samples a second", lambda need: need.series / SCRAPE_SECONDS),
)


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--update", action="store_true", help="write them into docs/scaling.md")
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: _print(parser().parse_args(argv)))


def _print(options: argparse.Namespace) -> int:
    text = tables()
    if options.update:
        page = PAGE.read_text()
        before, after = page.split(BEGIN)[0], page.split(END)[1]
        PAGE.write_text(f"{before}{BEGIN}{text}{END}{after}")
    out.print(text, markup=False)
    return 0


def tables() -> str:
    """What was measured, and what it means at each rate."""
    measured = json.loads(MEASURED.read_text())
    return _measured_table(measured) + "".join(_table(case, measured) for case in CASES)


def _measured_table(measured: dict[str, Any]) -> str:
    costs, memory, names = measured["cpu_microseconds_a_request"], measured["memory_mib"], _NAMES
    lines = [f"| {names[kind]} | {costs[kind]:.0f} | {memory[kind]} |" for kind in names]
    recorder = measured["recorder"]
    rows, row_us = f"{recorder['rows_a_second']:,}", f"{recorder['cpu_microseconds_a_row']:.0f}"
    series = ", ".join(f"{count} of {job}" for job, count in measured["series"].items())
    return (
        "\n| | µs of a core for a request | MiB resident |\n|---|---|---|\n"
        + "\n".join(lines)
        + f"\n\nOne recorder wrote {rows} rows a second into SQLite ({row_us} µs of a core each), "
        f"{recorder['database_bytes_a_row']} bytes a row and {recorder['log_bytes_a_row']} in the log before. "
        f"Series of two versions: {series}.\n"
    )


_NAMES = {
    "gateway": "Envoy",
    "frontend": "TorchServe's Java",
    "worker": "a worker: its Python, reading the picture, the small network",
    "recorder": "the recorder, beside it",
}


def _table(case: Case, measured: dict[str, Any]) -> str:
    needs = [Need(rate, case, measured) for rate in RATES]
    head = f"\n| {case.name} | " + " | ".join(f"{rate:,} a second" for rate in RATES) + " |\n|---|" + "---|" * len(RATES) + "\n"
    return head + "".join(f"| {name} | " + " | ".join(_figure(of(need)) for need in needs) + " |\n" for name, of in ROWS)


def _figure(value: float) -> str:
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.2g}"


if __name__ == "__main__":
    sys.exit(main())
