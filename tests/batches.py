"""Runs of ``scripts/predict_batch.py`` for tests, started, stopped in their middle, and looked at afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
from servers import eventually

from marina import paths

SCRIPT = paths.ROOT / "scripts" / "predict_batch.py"


@contextmanager
def running(*arguments: str | Path | int) -> Iterator[subprocess.Popen[bytes]]:
    """A run that goes on beside the test; it is ended, with all that it started."""
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    run = subprocess.Popen(command, cwd=paths.ROOT, env=dict(os.environ), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield run
    finally:
        for process in processes_of(run):
            process.kill()
        run.kill()
        run.communicate()


def processes_of(run: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The processes that compute, by their rank."""
    try:
        found = [one for one in psutil.Process(run.pid).children() if "marina.roads.process" in one.cmdline()]
        return sorted(found, key=lambda one: int(one.environ()["RANK"]))
    except psutil.Error:
        return []


def parts_of(output: Path) -> list[Path]:
    """The parts that a run has written so far."""
    return sorted(output.with_name(f"{output.name}.parts").glob("part-*.parquet"))


def wait_for_parts(output: Path, number: int, seconds: float = 200) -> list[Path]:
    """Wait until so many parts are written."""
    assert eventually(lambda: len(parts_of(output)) >= number, seconds), parts_of(output)
    return parts_of(output)


def rows_of(output: Path) -> list[dict[str, Any]]:
    """A finished table's rows; that each input is in it once, in order, is asserted."""
    rows: list[dict[str, Any]] = pq.read_table(output).to_pylist()
    assert [row["index"] for row in rows] == list(range(len(rows)))
    assert not output.with_name(f"{output.name}.parts").exists()
    return rows
