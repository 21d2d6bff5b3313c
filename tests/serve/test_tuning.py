"""A model is tuned for real: built, served by a TorchServe of the tuner's own, asked, and its spec written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from models import write_model
from scripts_of_ours import run_script
from servers import eventually

from marina import paths
from marina.store.spec import find_spec
from marina.tuning.result import Result

OPTIONS = ("--runtimes", "torchscript", "--precisions", "fp32", "--connections", "4", "--budget", "60s")
VERSIONS = {"1": {"source": {"network": "network.py"}, "runtime": "eager"}}


@contextmanager
def tuning(folder: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A running tune_model.py, which is ended with its server."""
    command = [sys.executable, str(paths.ROOT / "scripts" / "tune_model.py"), *arguments(folder), *options]
    with (folder / "printed").open("wb") as printed:
        process = subprocess.Popen(command, cwd=paths.ROOT, stdout=printed, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(60)


def arguments(folder: Path) -> list[str]:
    return [str(folder / "brightness"), *OPTIONS, "--store", str(folder / "store"), "--state", str(folder / "state")]


def tried(folder: Path) -> list[Any]:
    """What the tuner has measured so far."""
    path = folder / "state" / "tuning" / "brightness-1.json"
    return list(json.loads(path.read_text())["tried"]) if path.exists() else []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_model_is_tuned_stopped_and_tuned_on(tmp_path: Path) -> None:
    """Ctrl-C keeps what was measured; the same command goes on, and writes settings and evidence into the spec."""
    write_model(tmp_path / "brightness", versions=VERSIONS)
    with tuning(tmp_path) as process:
        assert eventually(lambda: bool(tried(tmp_path)) or process.poll() is not None, 240), (tmp_path / "printed").read_text()
        family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130, (tmp_path / "printed").read_text()
    assert "brightness-1.json: the same command goes on from there" in (tmp_path / "printed").read_text()
    assert eventually(lambda: not any(one.is_running() for one in family)), family
    first = tried(tmp_path)

    done = run_script("tune_model", *arguments(tmp_path), "--write", "--json")
    assert done.code == 0, done.err
    assert "going on with what was measured since" in done.err
    assert tried(tmp_path)[: len(first)] == first
    result = Result.model_validate_json(done.out)
    found = find_spec(str(tmp_path / "brightness")).spec
    assert found.serving.workers == result.chosen.layout.workers
    assert found.serving.batch_size == result.chosen.batch_size
    assert found.versions["1"].runtime == "eager"
    assert found.versions[result.became].runtime == result.chosen.format.runtime
    assert all(served.failures == 0 and served.throughput > 0 for served in result.finalists.values())
    evidence = tmp_path / "brightness" / f"{result.became}.tuning.json"
    assert Result.model_validate_json(evidence.read_text()) == result
    assert not list((tmp_path / "state" / "tuning").glob("brightness-1/**/*.mar"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_server_that_is_killed_costs_one_point(tmp_path: Path) -> None:
    """The point is left out, by name; the next one has another server, and the search ends as ever."""
    write_model(tmp_path / "brightness", versions=VERSIONS)
    with tuning(tmp_path, "--budget", "90s") as process:
        assert eventually(lambda: len(tried(tmp_path)) > 1, 400), (tmp_path / "printed").read_text()
        for one in psutil.Process(process.pid).children(recursive=True):
            if "org.pytorch.serve.ModelServer" in one.cmdline():
                os.kill(one.pid, signal.SIGKILL)
        assert process.wait(400) == 0
    assert "left out: " in (tmp_path / "printed").read_text()
    assert [one for one in tried(tmp_path) if "reason" in one]
    assert "served" in tried(tmp_path)[-1]
