"""A build that is killed, at whatever moment, leaves the store as it was; the next one works, and cleans up.

``SLOW=1``, as make slow has it, kills sixty, spread over the whole time of a build, and builds again after each.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest
from builders import RENAMES, begin, finish
from models import write_model

from marina.paths import Store
from marina.serving.polling import wait_for
from marina.store.index import Entry, read_index, verified_archive

MANY = 60 if os.environ.get("SLOW") == "1" else 0
MOMENTS = MANY or 6


def changed(model: Path, number: int) -> None:
    """Change the spec, so that there is something to build, which gives another archive."""
    write_model(model, options={"size": [4, 4], "mode": "L", "top_k": number + 1})


def entry_of(store: Store) -> Entry:
    """What the store says of the model, after it was made sure that its archive is what it says."""
    entry = read_index(store).models["brightness"]["1"]
    assert verified_archive(store, entry) == store.archives / "brightness-1.mar"
    return entry


def assert_clean(store: Store) -> None:
    """Nothing lies about: no half archive, no build's folder, no process."""
    assert [path.name for path in store.archives.iterdir()] == ["brightness-1.mar"]
    assert len(list(store.sboms.iterdir())) == 1
    assert not [path for path in store.folder.rglob("*") if path.name.startswith(".build-") or path.name.endswith(".partial")]


def workers_of(store: Store) -> list[int]:
    """Preflights that run in a store."""
    processes = psutil.process_iter(["pid", "cmdline"])
    return [one.info["pid"] for one in processes if any(str(store.folder) in part for part in one.info["cmdline"] or [])]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Store, float]:
    """A model, a store in which it was built, and how many seconds that took."""
    folder = tmp_path_factory.mktemp("killed")
    model, store = write_model(folder / "brightness"), Store(folder / "store")
    finish(model, store)
    changed(model, 90)
    began = time.monotonic()
    finish(model, store)
    return model, store, time.monotonic() - began


def test_killed_at_any_rename(built: tuple[Path, Store, float]) -> None:
    """What is in place is put there by renames: killed before any of them, the store has the old archive or the new one."""
    model, store, _ = built
    changed(model, 50)
    finish(model, store)
    renames = 1 + int((store.folder / RENAMES).read_text())
    for number in range(renames):
        before = entry_of(store)
        changed(model, number)
        killed = begin(model, store, number)
        killed.join()
        if killed.exitcode == 0:
            break
        assert killed.exitcode == -signal.SIGKILL
        after = entry_of(store)
        assert after == before or after.inputs_sha256 != before.inputs_sha256
        assert [path.name for path in store.archives.iterdir()] == ["brightness-1.mar"]
    assert number >= 4  # the archive's own file, its bill, the note in the index, the archive, the index
    changed(model, 70)
    finish(model, store)
    assert_clean(store)


@pytest.mark.timeout(60 * max(10, MANY))
def test_killed_at_any_time(built: tuple[Path, Store, float]) -> None:
    """Index readable and as before, archive as the index says, no process left; the next build works and cleans up."""
    model, store, seconds = built
    for number in range(MOMENTS):
        before = entry_of(store)
        changed(model, 100 + number)
        killed = begin(model, store)
        killed.join(seconds * (number + 0.5) / MOMENTS)
        killed.kill()
        killed.join()
        after = entry_of(store)
        assert killed.exitcode == 0 or after == before or after.inputs_sha256 != before.inputs_sha256
        assert wait_for(lambda: not workers_of(store), 20)
        if MANY:
            finish(model, store)
            assert_clean(store)
    changed(model, 80)
    finish(model, store)
    assert_clean(store)
    assert entry_of(store).inputs_sha256 != before.inputs_sha256
