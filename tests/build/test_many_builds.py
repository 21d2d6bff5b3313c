"""Many builds at once: in processes, in each other's way, stopped in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from models import SPEC, TRAINING, write_model
from scripts_of_ours import run_script

from marina import paths
from marina.errors import MarinaError
from marina.paths import Store
from marina.store.index import find_entry, read_index, verified_archive
from marina.store.workshop import alone, bench, sweep

ONE = SPEC["versions"]["1"]
QUICK = {"OMP_NUM_THREADS": "1"}


def command(store: Path, *arguments: str | Path) -> list[str]:
    return [sys.executable, str(paths.ROOT / "scripts" / "build_mar.py"), *map(str, arguments), "--store", str(store)]


def counting(folder: Path) -> dict[str, str]:
    """A training file that leaves a file for each time that it trains."""
    text = TRAINING.format(light=str(folder / "light.png"))
    trained = f"    import tempfile; tempfile.mkstemp(dir={str(folder.parent)!r}, prefix='trained-')\n    progress(1, 1)"
    return {"training.py": text.replace("    progress(1, 1)", trained)}


def test_one_that_fails_stops_no_other(tmp_path: Path) -> None:
    """In two processes: two versions train their network once, one fails, and the end says what became of each."""
    (tmp_path / "trained").mkdir()
    good = tmp_path / "trained" / "good"
    write_model(good, counting(good), versions={"1": ONE, "2": ONE | {"threads": 1}})
    killed = "import os, signal\ndef train(network, progress):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    bad = write_model(tmp_path / "bad", {"training.py": killed}, name="bad", versions={"1": ONE})
    done = run_script("build_mar", bad, good, "--jobs", "2", "--store", tmp_path / "store", "--json", environment=QUICK)
    assert done.code == 1
    assert done.error.startswith("bad 1: its build was killed (SIGKILL), as Linux does when memory runs out: build with fewer")
    assert [(row["model"], row["version"], row["outcome"]) for row in json.loads(done.out)] == [
        ("brightness", "1", "built"),
        ("brightness", "2", "built"),
    ]
    assert "brightness 1: preflight, as a worker would" in done.err
    assert len(list(good.parent.glob("trained-*"))) == 1
    assert not list((tmp_path / "store").glob(".build-*"))


def test_ctrl_c_ends_all_and_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    """Workers, and what they train, end with the command; nothing lies about."""
    endless = "import threading\ndef train(network, progress):\n    progress(1, 2)\n    threading.Event().wait()\n"
    models = [write_model(tmp_path / name, {"training.py": endless}, name=name, versions={"1": ONE}) for name in ("a", "b")]
    store = tmp_path / "store"
    environment = os.environ | QUICK
    build = subprocess.Popen(command(store, *models, "--jobs", "2"), env=environment, stderr=subprocess.PIPE, text=True)
    assert build.stderr is not None
    said = [build.stderr.readline() for _ in range(4)]
    assert sorted(said) == ["a 1: network\n", "a 1: training\n", "b 1: network\n", "b 1: training\n"]
    workers = psutil.Process(build.pid).children(recursive=True)
    build.send_signal(signal.SIGINT)
    assert "stopped" in build.communicate(timeout=60)[1]
    assert build.returncode == 130
    assert psutil.wait_procs(workers, timeout=20)[1] == []
    assert read_index(Store(store)).models == {}
    assert not list(store.glob(".build-*"))


def test_two_builds_of_one_version_build_it_once(tmp_path: Path) -> None:
    """The second waits, says so, and finds that there is nothing to do."""
    model, store = write_model(tmp_path / "brightness", versions={"1": ONE}), tmp_path / "store"
    pipes: dict[str, Any] = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL, "text": True, "env": os.environ | QUICK}
    builds = [subprocess.Popen(command(store, model), **pipes) for _ in range(2)]
    said = sorted(build.communicate(timeout=280)[1] for build in builds)
    assert [build.returncode for build in builds] == [0, 0], said
    assert sum("preflight" in one for one in said) == 1, said
    entry = find_entry(Store(store), "brightness", "1")
    assert verified_archive(Store(store), entry)


def test_whoever_waits_for_a_lock_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And after a while, that another process does not let go."""
    store = Store(tmp_path)
    refused = pytest.raises(MarinaError, match=r"has held .*index for 0.1 seconds: let it finish, or end it")
    with alone(store, "index", "one"), refused, alone(store, "index", "the index", 0.1):
        pass
    assert "the index: another process has it: waiting" in capsys.readouterr().err


def test_only_what_is_dead_is_swept(tmp_path: Path) -> None:
    """A build's folder stays while it lives, and so do the weights that it writes; of a killed one nothing stays."""
    store = Store(tmp_path)
    store.weights.mkdir()
    (tmp_path / ".build-dead").mkdir()
    (tmp_path / ".build-dead" / "held").touch()
    with bench(store) as folder:
        assert not (tmp_path / ".build-dead").exists()
        (store.weights / "a.1.partial").touch()
        sweep(store)
        assert folder.exists()
        assert (store.weights / "a.1.partial").exists()
    sweep(store)
    assert list(store.weights.iterdir()) == []


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system that cannot be written."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system that cannot be written")
def test_a_store_that_cannot_be_written_is_one_line(read_only: Path, tmp_path: Path) -> None:
    """Before anything is trained or exported."""
    model = write_model(tmp_path / "brightness", versions={"1": ONE})
    done = run_script("build_mar", model, "--store", read_only)
    assert done.code == 1
    assert (
        done.error == f"{read_only} cannot be written: Read-only file system: make it writable, or give another folder by --store"
    )
