"""Faults of what a house stands on: its disk and its archives."""

from __future__ import annotations

import shutil

from process_faults import HELD_SECONDS, kill_a_worker
from servers import Serving
from small_disks import filled

from marina.serving.polling import pause


def fill_the_disk(house: Serving) -> None:
    """That of the logs and of the state: nothing can be written, until somebody makes room."""
    with filled(house.folder):
        pause(HELD_SECONDS)


def replace_an_archive(house: Serving) -> None:
    """Garbage takes an archive's place while it is served, and its worker must start anew."""
    archive = house.store.archives / "digits-1.0.mar"
    kept = archive.with_suffix(".kept")
    shutil.copy(archive, kept)
    archive.write_bytes(b"garbage")
    kill_a_worker(house)
    pause(HELD_SECONDS)
    kept.replace(archive)
