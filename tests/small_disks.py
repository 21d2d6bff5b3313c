"""A small disk that can be filled."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """The folder, as a disk of its own of so many bytes (``64m``) in memory; skips the test where this may not mount one."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting a small disk takes root: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Not a byte more can be written on the folder's disk until the end of the block."""
    ballast = folder / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file:
            _fill(file)
            yield
    finally:
        ballast.unlink()


def _fill(file: FileIO) -> None:
    try:
        while file.write(bytes(1 << 16)):
            pass
    except OSError:
        return
