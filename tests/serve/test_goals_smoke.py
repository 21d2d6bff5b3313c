"""The benchmark of all goals in a short form: it runs, and its ratios point the right way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from marina.paths import HANDLERS, ROOT

SCRIPT = ROOT / "benchmarks" / "measure_goals.py"


def test_a_short_benchmark_has_a_ratio_of_the_right_sign(tmp_path: Path) -> None:
    """The no-op handler is not far from the stock no-op. The smoke run's other goal, a lone caller's wait, takes two minutes."""
    results = tmp_path / "goals.json"
    command = [sys.executable, str(SCRIPT), "--smoke", "--goals", "noop", "--folder", str(tmp_path), "--results", str(results)]
    environment = os.environ | {"PYTHONPATH": f"{HANDLERS}{os.pathsep}{ROOT / 'tests'}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-3000:]}"
    assert "no-op handler, 16 connections" in done.stdout
    assert not results.exists(), "a smoke run is no measurement"
