"""Where a store's archives are made: a folder for each build, locks between builds, and what killed ones left behind.

Locks are the operating system's: they go with the process that holds them, however it ends.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from marina.console import step
from marina.errors import MarinaError
from marina.paths import Store

SILENT_S = 2.0  # builds beside each other hold some locks for milliseconds, which is nobody's business
HELD = "held"  # in a build's folder, locked while the build lives


@contextmanager
def bench(store: Store) -> Iterator[Path]:
    """A folder of one build, in the store, so that what is made there is put in place in one step; removed afterwards.

    Raises:
        MarinaError: the store cannot be written.
    """
    with _writable(store):
        store.archives.mkdir(parents=True, exist_ok=True)
        with alone(store, "workshop", "the store"):
            _sweep(store)
            folder = Path(tempfile.mkdtemp(prefix=".build-", dir=store.folder))
            held = FileLock(folder / HELD)
            held.acquire()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        held.release()


def sweep(store: Store) -> None:
    """Remove what killed builds left; nothing of a build that lives, or that was finished."""
    if store.folder.is_dir():
        with alone(store, "workshop", "the store"):
            _sweep(store)


@contextmanager
def alone(store: Store, lock: str, what: str, patience_s: float = -1) -> Iterator[None]:
    """Hold one of the store's locks; whoever has to wait for it is told so.

    Args:
        store: whose lock it is.
        lock: its name.
        what: is being waited for, as the message names it.
        patience_s: how long to wait, in seconds; negative waits for ever.

    Raises:
        MarinaError: another process still held it then, or the store cannot be written.
    """
    with _writable(store):
        folder = store.folder / ".locks"
        folder.mkdir(parents=True, exist_ok=True)
        held = FileLock(folder / lock)
        try:
            held.acquire(timeout=SILENT_S)
        except Timeout:
            step(f"{what}: another process has it: waiting")
            _wait(held, what, patience_s)
    try:
        yield
    finally:
        held.release()


def _wait(held: FileLock, what: str, patience_s: float) -> None:
    try:
        held.acquire(timeout=patience_s)
    except Timeout as error:
        reason = f"another process has held {held.lock_file} for {patience_s:g} seconds"
        raise MarinaError(f"{what}: {reason}: let it finish, or end it, and try again") from error


def _sweep(store: Store) -> None:
    """Under the workshop's lock: a build's folder that nobody holds is of one that was killed."""
    left = [folder for folder in store.folder.glob(".build-*") if folder.is_dir()]
    dead = [folder for folder in left if _is_dead(folder)]
    for folder in dead:
        shutil.rmtree(folder, ignore_errors=True)
    if len(dead) == len(left):  # nobody builds: then nobody writes these
        for partial in (*store.weights.glob("*.partial"), *store.sboms.glob(".*.partial"), *store.folder.glob("index.partial")):
            partial.unlink(missing_ok=True)


def _is_dead(folder: Path) -> bool:
    held = FileLock(folder / HELD)
    try:
        held.acquire(timeout=0)
    except Timeout:
        return False
    held.release()
    return True


@contextmanager
def _writable(store: Store) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = f"cannot be written: {error.strerror or error}"
        raise MarinaError(f"{store.folder} {reason}: make it writable, or give another folder by --store") from error
