"""Builds in processes of their own, which can be killed; torch is imported once, before the first."""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.process import BaseProcess
from pathlib import Path

from marina.paths import Store
from marina.store.build import Order, carry_out, saying
from marina.store.spec import find_spec

RENAMES = "renames"  # a file in the store: how many a build needed
BUILDERS = multiprocessing.get_context("forkserver")
BUILDERS.set_forkserver_preload([f"marina.store.{name}" for name in ("preflight", "exporters.torchscript", "placeless")])


def begin(model: Path, store: Store, renames: int = -1) -> BaseProcess:
    """A build of the model's version 1 that has begun; it ends by SIGKILL before the rename of that number."""
    started = BUILDERS.Process(target=_build, args=(model, store, renames))
    started.start()
    return started


def finish(model: Path, store: Store) -> None:
    """A build that nobody kills."""
    done = begin(model, store)
    done.join()
    assert done.exitcode == 0


def _build(model: Path, store: Store, renames: int) -> None:
    rename, left = Path.replace, [renames]

    def counted(source: Path, target: Path) -> Path:
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        return rename(source, target)

    Path.replace = counted  # type: ignore[method-assign, assignment]
    carry_out(Order(find_spec(str(model)), "1"), store, saying("brightness 1"))
    (store.folder / RENAMES).write_text(str(renames - left[0]))
