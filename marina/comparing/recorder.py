"""Read what the gateway and the handlers write of each request into the traffic record."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from marina.comparing.access_line import AccessLine, access_line
from marina.comparing.agreeing import Summary, add_summaries, join_summaries
from marina.comparing.hashed_keys import HashedKeys
from marina.comparing.keeping import expire
from marina.comparing.kept_payloads import KeptPayloads
from marina.comparing.log_reading import bytes_after, object_of, read_piece, source_of
from marina.comparing.recorder_metrics import RecorderMetrics
from marina.comparing.rotation import Rotation
from marina.comparing.traffic import Traffic
from marina.paths import State

EXPIRE_SECONDS = 3600.0


@dataclass(frozen=True)
class Keeping:
    """What is recorded, and for how long.

    Attributes:
        keep_seconds: after which rows are deleted.
        sample: the share of the keys, 0 to 1, whose requests are recorded; all of a key or none, as it is the unit
            of an experiment.
        rotate_seconds: how long a key lies in the access log as the caller gave it, at most, and some seconds more.
    """

    keep_seconds: float = 90 * 86_400.0
    sample: float = 1.0
    rotate_seconds: float = 60.0


class Recorder:
    """Looks at the logs of a state again and again; each look goes on where the last one that was written down ended."""

    def __init__(self, state: State, traffic: Traffic, keys: HashedKeys, keeping: Keeping, gateway: str) -> None:
        """Record a state's traffic.

        Args:
            state: whose ``traffic`` folder the logs are in.
            traffic: where to.
            keys: by which keys are hashed.
            keeping: what, and for how long.
            gateway: its internal address, ``http://host:port``.

        Raises:
            MarinaError: the record's keys were hashed with another salt.
        """
        traffic.require_salt(keys.proof)
        self.traffic, self.keys, self.keeping = traffic, keys, keeping
        self.payloads = KeptPayloads(state)
        self.metrics = RecorderMetrics()
        self._log = state.traffic / "access.log"
        self._summaries = state.traffic / "summaries"
        self._rotation = Rotation(self._log, gateway, keeping.rotate_seconds)
        self._read: dict[str, int] = {}
        self._expired_at = 0.0

    def look(self) -> None:
        """Read what is new; rotate, and delete what is too old, where it is time to.

        Raises:
            MarinaError: the database refused; what was not written is read again.
            OSError: a log cannot be read.
        """
        self._rotation.keep_room()
        self._rotate()
        self._read_requests(self._log)
        for path in self._summary_logs():
            self._read_summaries(path)
        self.metrics.agreements.inc(join_summaries(self.traffic))
        self._expire()
        self.payloads.tidy(time.time())
        self.metrics.unread.set(sum(self._unread(path) for path in (self._rotation.aside, self._log, *self._summary_logs())))
        self.metrics.read_at.set_to_current_time()

    def look_for_the_last_time(self) -> None:
        """Read what is left, and delete the access log where nobody writes to it any more."""
        self._rotation.force()
        self.look()

    def _rotate(self) -> None:
        self._rotation.put_aside(time.monotonic())
        aside = self._rotation.aside
        if not aside.exists():
            return
        is_complete = self._rotation.is_complete()  # before it is read: what comes afterwards is not lost with it
        self._read_requests(aside)
        if is_complete:
            source = source_of(aside)
            aside.unlink()
            self.metrics.rotations.inc()
            if source is not None:
                self.traffic.forget_progress(source)
                self._read.pop(source, None)

    def _read_requests(self, path: Path) -> None:
        source = source_of(path)
        while source is not None and (piece := read_piece(path, self._bytes_read(source))):
            found = [self._access_line(line) for line in piece.lines]
            good = [one for one in found if one is not None]
            rows = [one.row(self.keys) for one in good if self._is_sampled(one)]
            new = self.traffic.add_requests(rows, source, piece.end)
            self._read[source] = piece.end
            self.metrics.requests.inc(new)
            self.metrics.repeated.inc(len(rows) - new)
            self.metrics.left_out.inc(len(good) - len(rows))
            self.metrics.bad_lines.inc(len(found) - len(good))

    def _read_summaries(self, path: Path) -> None:
        source = source_of(path)
        while source is not None and (piece := read_piece(path, self._bytes_read(source))):
            found = [_summary(line) for line in piece.lines]
            good = [one for one in found if one is not None]
            self.metrics.summaries.inc(add_summaries(self.traffic, good, source, piece.end))
            self._read[source] = piece.end
            self.metrics.bad_lines.inc(len(found) - len(good))

    def _bytes_read(self, source: str) -> int:
        if source not in self._read:
            self._read[source] = self.traffic.bytes_read(source)
        return self._read[source]

    def _is_sampled(self, line: AccessLine) -> bool:
        return self.keeping.sample >= 1 or self.keys.share(line.key or line.request_id) < self.keeping.sample

    @staticmethod
    def _access_line(line: bytes) -> AccessLine | None:
        content = object_of(line)
        return None if content is None else access_line(content)

    def _summary_logs(self) -> list[Path]:
        return sorted(self._summaries.glob("*.jsonl"))

    def _unread(self, path: Path) -> int:
        source = source_of(path)
        return 0 if source is None else bytes_after(path, self._bytes_read(source))

    def _expire(self) -> None:
        if time.monotonic() - self._expired_at >= EXPIRE_SECONDS or not self._expired_at:
            self.metrics.expired.inc(expire(self.traffic, self.keeping.keep_seconds, time.time()))
            self._expired_at = time.monotonic()


def _summary(line: bytes) -> Summary | None:
    content = object_of(line)
    try:
        return None if content is None else Summary.model_validate(content)
    except ValidationError:
        return None
