"""Archives without a server: unpacked, and run by ``one_process`` in a process of its own."""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from goals.commands import printed
from goals.networks import Kept
from marina import paths
from marina.digests import file_digest

PROGRAM = Path(__file__).with_name("one_process.py")


def unpacked(kept: Kept, archive: str) -> Path:
    """The archive's files, as TorchServe unpacks them."""
    path = kept.store.archives / archive
    folder = kept.folder / "unpacked" / f"{path.stem}-{file_digest(path)[:12]}"  # another one where it was built again
    if not folder.exists():
        with zipfile.ZipFile(path) as file:
            file.extractall(folder)
    return folder


def without_server(way: str, folder: Path, picture: Path, rows: int, seconds: float) -> Callable[[], float]:
    """A measurement by ``one_process``, in a process of its own each time."""
    command = [sys.executable, PROGRAM, way, folder, picture, rows, seconds]
    path = os.pathsep.join(map(str, (folder, paths.ROOT, *filter(None, [os.environ.get("PYTHONPATH")]))))

    def measured() -> float:
        return float(printed(command, f"{PROGRAM.name} {way}", {"PYTHONPATH": path}, folder).splitlines()[-1])

    return measured
