"""Rotate the gateway's access log, which has keys as callers gave them: what was read is deleted."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import requests

LARGEST_BYTES = 64 << 20
ANSWER_SECONDS = 5


class Rotation:
    """One log at a time is put aside, read to its end and deleted.

    Envoy opens the log anew some time after it was asked to, and until then writes to the old one under its new name. That the
    log's own name is there again is the sign that the old one is complete.
    """

    def __init__(self, log: Path, gateway: str, every_seconds: float) -> None:
        """Rotate ``log``, which the gateway writes whose internal address (``http://host:port``) is given."""
        self.log = log
        self.aside = log.with_name(f"{log.name}.read")
        self._gateway = gateway
        self._every_seconds = every_seconds
        self._last: float | None = None

    def force(self) -> None:
        """See that the log is put aside next time, however young it is."""
        self._last = None

    def put_aside(self, now: float) -> bool:
        """Rename the log where it is time to; whether it was."""
        if self.aside.exists() or not self.log.exists():
            return False
        size = self.log.stat().st_size
        is_young = self._last is not None and now - self._last < self._every_seconds
        if not size or (is_young and size < LARGEST_BYTES):
            return False
        self._last = now
        self.log.rename(self.aside)
        return True

    def is_complete(self) -> bool:
        """Whether nobody writes to the log that was put aside; the gateway is asked to open its own anew where it has not."""
        return self.log.exists() or (not self._ask_to_reopen() and not _is_being_written(self.aside))

    def _ask_to_reopen(self) -> bool:
        """Whether there is a gateway to ask."""
        try:
            requests.post(f"{self._gateway}/reopen_logs", timeout=ANSWER_SECONDS)
        except requests.ConnectionError:
            return False
        except requests.RequestException:
            return True
        return True


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
