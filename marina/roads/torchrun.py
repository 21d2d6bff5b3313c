"""A run whose processes torchrun has started, on one machine or several that share the output's folder.

The first process plans and puts together, the others wait for its word: each must be told before Lightning begins, and none
may read parts that another still writes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from marina.console import step
from marina.errors import MarinaError
from marina.roads.batch_run import Done, Job, alone, finish, prepare
from marina.roads.parts import Parts
from marina.roads.process import run_process

LONGEST = timedelta(days=7)  # that the first process to finish waits for the last


def predict(job_of: Callable[[], Job], tell: Callable[[Done], None]) -> int:
    """Compute this process's share; returns its exit code.

    Args:
        job_of: makes the job; called in the first process alone.
        tell: says how it ended; called in the first process alone.

    Raises:
        MarinaError: in the first process, what is wrong; the others end without a word.
    """
    on_gpu, is_first = torch.cuda.is_available(), os.environ["RANK"] == "0"
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=LONGEST)
    told: Any = distributed.new_group(backend="gloo", timeout=LONGEST)
    try:
        with ExitStack() as held:
            folder, missing, error = _first_says(lambda: _planned(job_of, held), is_first, told)
            if error is not None and is_first:
                raise error
            if error is not None or folder is None:
                return error.exit_code if error else 0
            began, parts = time.monotonic(), Parts(Path(folder))
            run_process(parts, missing)
            distributed.barrier(group=told)
            if is_first:
                computed = sum(len(parts.range_of(part)) for part in missing)
                done = Done({}, computed, time.monotonic() - began)
                output = parts.folder.with_name(parts.folder.name.removesuffix(".parts"))
                tell(replace(done, counts=finish(parts, output)))
    finally:
        distributed.destroy_process_group()
    return 0


def _planned(job_of: Callable[[], Job], held: ExitStack) -> tuple[str | None, list[int]]:
    """The run's folder and its missing parts; no folder where there is nothing to do."""
    job = job_of()
    held.enter_context(alone(job))
    parts = prepare(job)
    if parts is None:
        return None, []
    missing = parts.missing()
    step(f"{len(missing)} of {parts.count} parts are to be computed")
    return str(parts.folder), missing


def _first_says(
    say: Callable[[], tuple[str | None, list[int]]], is_first: bool, group: Any
) -> tuple[str | None, list[int], MarinaError | None]:
    """What the first process has to say, in all of them."""
    said: list[Any] = [None]
    if is_first:
        try:
            said = [(*say(), None)]
        except MarinaError as error:
            said = [(None, [], error)]
    distributed.broadcast_object_list(said, src=0, group=group)
    found: tuple[str | None, list[int], MarinaError | None] = said[0]
    return found
