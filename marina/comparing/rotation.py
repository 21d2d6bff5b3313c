"""Rotate the gateway's access log, which has keys as callers gave them: what was read is deleted."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

import requests

from marina.comparing.room import hold_room

LARGEST_BYTES = 64 << 20
ROOM_BYTES = 16 << 20  # some 35,000 requests
ANSWER_SECONDS = 5


class Rotation:
    """One log at a time is put aside, read to its end and deleted; another, which is empty, takes its place.

    Envoy drops what the disk has no room for. So each log has room of its own, which is held before it is needed, and none is
    put aside before there is room for the next.

    Envoy opens the log anew some time after it was asked to, and until then writes to the old one under its new name. A line in
    the new one, or that nobody has the old one open for writing, is the sign that the old one is complete.
    """

    def __init__(self, log: Path, gateway: str, every_seconds: float) -> None:
        """Rotate ``log``, which the gateway writes whose internal address (``http://host:port``) is given."""
        self.log = log
        self.aside = log.with_name(f"{log.name}.read")
        self._next = log.with_name(f"{log.name}.next")
        self._gateway = gateway
        self._every_seconds = every_seconds
        self._last: float | None = None

    def force(self) -> None:
        """See that the log is put aside next time, however young it is."""
        self._last = None

    def keep_room(self) -> None:
        """See that the log is there, and has room as far as the disk has any.

        Raises:
            OSError: it cannot be opened.
        """
        hold_room(self.log, ROOM_BYTES)

    def put_aside(self, now: float) -> bool:
        """Put the log aside where it is time to and the disk has room for the next; whether it was.

        Its name is never without a file: Envoy, started in between, would open one that nobody reads.
        """
        if not self._is_halfway() and not self._is_time(now):
            return False
        if not hold_room(self._next, ROOM_BYTES):
            return False
        self._last = now
        if not self.aside.exists():
            self.aside.hardlink_to(self.log)
        self._next.replace(self.log)
        return True

    def is_complete(self) -> bool:
        """Whether nobody writes to the log that was put aside; the gateway is asked to open its own anew where it has not."""
        if self._is_halfway():
            return False
        if self.log.stat().st_size or not _is_being_written(self.aside):
            return True
        self._ask_to_reopen()
        return False

    def _is_halfway(self) -> bool:
        """Whether the log has both names: whoever put it aside was killed, or the disk has no room for the next."""
        return self.aside.exists() and self.log.exists() and self.aside.samefile(self.log)

    def _is_time(self, now: float) -> bool:
        if self.aside.exists() or not self.log.exists():
            return False
        size = self.log.stat().st_size
        is_young = self._last is not None and now - self._last < self._every_seconds
        return bool(size) and (not is_young or size >= LARGEST_BYTES)

    def _ask_to_reopen(self) -> None:
        with suppress(requests.RequestException):
            requests.post(f"{self._gateway}/reopen_logs", timeout=ANSWER_SECONDS)


def _is_being_written(path: Path) -> bool:
    """Whether a process has a file open for writing, as far as the system can tell: Linux refuses a lease on it then."""
    if not hasattr(fcntl, "F_SETLEASE"):
        return True
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError:  # it is, or this file system cannot tell
        return True
    else:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return False
    finally:
        os.close(descriptor)
