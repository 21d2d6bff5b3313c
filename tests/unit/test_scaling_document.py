"""What docs/scaling.md reckons is what its figures give."""

from __future__ import annotations

import importlib
import json
import sys

import pytest

from marina import paths
from marina.kubernetes.settings import read_kubernetes_settings

sys.path.append(str(paths.ROOT / "benchmarks"))
scaling = importlib.import_module("scaling_table")


def test_the_page_has_what_its_script_reckons() -> None:
    """From the figures of benchmarks/scaling.json: scaling_table.py --update writes it."""
    assert scaling.PAGE.read_text().split(scaling.BEGIN)[1].split(scaling.END)[0] == scaling.tables()


def test_the_arithmetic_by_hand() -> None:
    """A core that works 70 % of the time, at 1,000 and 500 µs a request and 8.75 ms of network: once by hand."""
    measured = {
        "cpu_microseconds_a_request": {"worker": 1000, "frontend": 500, "gateway": 280, "recorder": 50},
        "series": {"torchserve": 300, "gateway": 100, "recorder": 20},
        "recorder": {"rows_a_second": 10_000, "database_bytes_a_row": 200},
    }
    need = scaling.Need(10_000, scaling.CASES[1], measured)
    assert need.worker_cores == pytest.approx((10 + 87.5) / 0.7)
    assert need.frontend_cores == pytest.approx(5 / 0.7)
    assert need.pods == 19  # 146.4 cores by 8
    assert need.gateways == 2  # 4 cores by 4, and never one alone
    assert need.connections == 2 * 4 * 19
    assert need.recorders_full == pytest.approx(0.5)
    assert need.database_gb_a_day == pytest.approx(172.8)
    assert need.series == 19 * 300 + 2 * 120


def test_the_network_is_as_fast_as_the_benchmarks_say() -> None:
    """Its milliseconds are those of the table of precisions, on two threads for eight images."""
    table = (paths.ROOT / "benchmarks" / "README.md").read_text().splitlines()
    row = next(line for line in table if line.startswith("| `openvino` | int8 |"))
    eight = float(row.split("|")[5])
    assert scaling.CASES[1].network_ms == pytest.approx(eight * 2 / 8)


def test_the_gateway_may_be_as_busy_as_the_cluster_lets_workers_be() -> None:
    """One figure for how busy a core may be, in the page and in the cluster's settings."""
    settings = read_kubernetes_settings(paths.CONFIG / "kubernetes" / "kubernetes.yaml")
    assert settings.autoscaling is not None
    assert settings.autoscaling.busy_ratio == scaling.BUSY
    assert json.loads(scaling.MEASURED.read_text())["requests"] > 0
