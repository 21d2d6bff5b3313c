"""What is served is what was built, or adopted: seen on a real server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from documents import Command, commands
from scripts_of_ours import Ended, run_script
from servers import READY, Serving, eventually, serving
from stock_archives import write_cats

from marina import paths
from marina.serving.free_ports import free_ports
from marina.store.index import find_entry, record

STORE = {command.line: command for command in commands(paths.ROOT / "docs" / "store.md")}


def register_model(own: Serving, *arguments: str) -> Ended:
    return run_script("register_model", "--store", own.store.folder, *arguments, environment=own.environment)


def listed(own: Serving, model: str) -> dict[str, Any]:
    """A model's only row in the list."""
    done = register_model(own, "--json", "list")
    assert done.code == 0, done.err
    (row,) = [row for row in json.loads(done.out) if row["model"] == model]
    return dict(row)


@pytest.fixture(scope="module")
def cats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with cats.mar, made by torch-model-archiver with TorchServe's own image_classifier, and a picture."""
    return write_cats(tmp_path_factory.mktemp("cats"))


def typed(command: Command, folder: Path, own: Serving) -> str:
    """What a command of the document prints in a folder, for the server's own store."""
    line = command.line.replace("scripts/check_store.py", f"{paths.ROOT}/scripts/check_store.py --store {own.store.folder}")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=os.environ | {"PATH": path},
        stdout=-1,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout


@pytest.fixture(scope="module")
def adopted(own: Serving, cats: Path) -> Path:
    """The folder of cats.mar, after it was adopted as docs/store.md says it."""
    for command in STORE.values():
        printed = typed(command, cats, own)
        assert command.printed(printed), printed
    return cats


def test_an_archive_of_the_official_archiver_is_adopted_and_served(own: Serving, adopted: Path) -> None:
    """Registered by our script, and right; what its handler cannot say is unknown."""
    try:
        assert register_model(own, "register", "cats", "1.0").code == 0
        answer = own.ask("/predictions/cats", (adopted / "cat.jpg").read_bytes()).json()
        assert max(answer, key=answer.get) == "tabby"
        assert listed(own, "cats")["store"] == "unknown"
        assert json.loads(register_model(own, "describe", "cats", "1.0").out)["is_what_the_store_has"] is None
    finally:
        assert register_model(own, "unregister", "cats", "1.0").code == 0


def test_an_adopted_archive_is_deployed_like_any_other(own: Serving, adopted: Path, tmp_path: Path) -> None:
    """config/deployment.yaml names it; it has no spec, and needs none."""
    deployment = tmp_path / "deployment.yaml"
    deployment.write_text('models: {cats: {default: "1.0", versions: {"1.0": {}}}}')
    built = run_script("build_mar", "--deployed", "--deployment", deployment, "--store", own.store.folder)
    assert built.code == 0, built.err
    with serving(free_ports(), own.store, tmp_path / "server", "--deployment", deployment) as started:
        started.wait_for_output(READY)
        assert f"/predictions/cats -T {own.store.samples / 'cats-1.0.jpg'}" in started.output
        assert "tabby" in started.ask("/predictions/cats", (adopted / "cat.jpg").read_bytes()).json()


@pytest.mark.usefixtures("adopted")
def test_a_wrong_answer_of_the_server_takes_the_version_back(own: Serving) -> None:
    """READY is not enough: the sample is asked of the server, and its answer compared."""
    entry = find_entry(own.store, "cats", "1.0")
    expected = entry.sample.model_copy(update={"label": "lynx"})
    record(own.store, "cats", "1.0", entry.model_copy(update={"sample": expected}))
    done = register_model(own, "register", "cats", "1.0")
    assert (done.code, done.error) == (1, "cats 1.0 answers its sample with 'tabby'; required 'lynx'")
    assert requests.get(own.url("/models/cats", "management"), timeout=30).status_code == 404
    (own.store.samples / entry.sample.request).unlink()
    assert "the sample of cats-1.0.mar: adopt cats.mar again" in register_model(own, "register", "cats", "1.0").error


@pytest.fixture
def brightness(own: Serving) -> Iterator[Path]:
    """The archive brightness-1.mar, as it was afterwards, and unregistered."""
    archive = own.store.archives / "brightness-1.mar"
    content = archive.read_bytes()
    yield archive
    archive.write_bytes(content)
    assert register_model(own, "unregister", "brightness", "1").code == 0


def test_what_was_registered_from_elsewhere_is_flagged(own: Serving, brightness: Path) -> None:
    """The same name, the same version, another file in it: TorchServe takes it, and our list says so."""
    other = brightness.with_name("other.mar")
    shutil.copy(brightness, other)
    with zipfile.ZipFile(other, "a") as file:
        file.writestr("more.txt", "")
    asked = {"url": "other.mar", "initial_workers": "1", "synchronous": "true"}
    assert requests.post(own.url("/models", "management"), params=asked, timeout=120).status_code == 200
    other.unlink()
    assert listed(own, "brightness")["store"] == "differs"
    done = register_model(own, "list")
    assert "brightness 1: what is served is not what the index has: unregister it, and register it again" in done.err
    assert json.loads(register_model(own, "describe", "brightness", "1").out)["is_what_the_store_has"] is False


def test_a_worker_started_anew_says_what_it_loaded(own: Serving, brightness: Path) -> None:
    """TorchServe unpacks once: another archive in its place changes nothing; another file where it was unpacked is flagged."""
    assert register_model(own, "register", "brightness", "1").code == 0
    assert listed(own, "brightness")["store"] == "same"
    brightness.write_bytes(brightness.read_bytes() + b"x")
    unpacked = restart_worker(own)
    assert listed(own, "brightness")["store"] == "same"
    (unpacked / "more.txt").touch()
    assert listed(own, "brightness")["store"] == "same"  # what is said is what was loaded
    restart_worker(own)
    assert listed(own, "brightness")["store"] == "differs"


def restart_worker(own: Serving) -> Path:
    """Kill the worker of brightness, wait for the next one, and return the folder that it loads from."""

    def worker() -> dict[str, Any]:
        described = requests.get(own.url("/models/brightness", "management"), timeout=30).json()[0]
        return dict(described["workers"][0])

    killed = worker()["pid"]
    (process,) = [one for one in own.workers() if one.pid == killed]
    folder = Path(process.cwd())
    process.kill()
    assert eventually(lambda: worker()["status"] == "READY" and worker()["pid"] != killed, 90)
    return folder
