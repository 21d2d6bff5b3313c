"""A group of processes with so much memory, as a container is one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from marina.serving.polling import wait_for

CONTROLLER = Path("/sys/fs/cgroup/memory")  # of cgroup v1, where a group is made by a folder
GONE_SECONDS = 30


@contextmanager
def memory_group(processes: Iterable[psutil.Process], limit_bytes: int) -> Iterator[Callable[[], int]]:
    """Processes, and all that they start, take no more memory together than so much more than they have.

    Yields:
        How many of them the system has killed for it so far.
    """
    group = CONTROLLER / f"marina-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"bounding memory takes root, and the memory controller of cgroup v1: {error.strerror}")
    try:
        (group / "memory.limit_in_bytes").write_text(str(limit_bytes))
        for process in processes:
            (group / "cgroup.procs").write_text(str(process.pid))
        yield lambda: _killed(group)
    finally:
        wait_for(lambda: _is_removed(group), GONE_SECONDS)


def _killed(group: Path) -> int:
    lines = (line.split() for line in (group / "memory.oom_control").read_text().splitlines())
    return next(int(value) for name, value in lines if name == "oom_kill")


def _is_removed(group: Path) -> bool:
    """Whether nobody is in it any more, so that it could be removed."""
    for pid in (group / "cgroup.procs").read_text().split():
        with suppress(OSError):  # it has ended
            (CONTROLLER / "cgroup.procs").write_text(pid)
    with suppress(OSError):
        group.rmdir()
    return not group.exists()
