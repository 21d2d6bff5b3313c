"""Hold room on the disk for a file that somebody appends to, so that a full disk does not stop them."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE of linux/falloc.h: os.posix_fallocate would make the file larger
BLOCK = 512  # bytes that st_blocks counts, whatever the file system's blocks are
FULL = (errno.ENOSPC, errno.EDQUOT)
CANNOT = (errno.EOPNOTSUPP, errno.ENOSYS)


def hold_room(path: Path, room_bytes: int) -> bool:
    """Have room behind the end of a file, for its owner alone, which is made where it is not there; its size stays.

    Linux does it on ext4, XFS, Btrfs and tmpfs. Where the system or the file system cannot, nothing is held.

    Args:
        path: of the file.
        room_bytes: that are held anew when less than half of them is left.

    Returns:
        False where the disk has not so much.

    Raises:
        OSError: the file cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            _hold(descriptor, room_bytes)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in FULL:
            raise
        return False
    return True


def _hold(descriptor: int, room_bytes: int) -> None:
    status = os.fstat(descriptor)
    fallocate = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
    if fallocate is None or status.st_blocks * BLOCK - status.st_size >= room_bytes // 2:
        return
    if fallocate(descriptor, KEEP_SIZE, ctypes.c_int64(status.st_size), ctypes.c_int64(room_bytes)):
        number = ctypes.get_errno()
        if number not in CANNOT:
            raise OSError(number, os.strerror(number))
