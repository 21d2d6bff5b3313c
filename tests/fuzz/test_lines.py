"""Whatever stands in a log or in metrics, what reads them line by line goes on."""

from __future__ import annotations

import tempfile
import time
from contextlib import suppress
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st
from mutations import changed_bytes, changed_documents, written

from marina.comparing.hashed_keys import HashedKeys
from marina.comparing.keeping import rows_of
from marina.comparing.recorder import Keeping, Recorder
from marina.comparing.traffic import Traffic
from marina.paths import State
from marina.watching.counters import parse

KEYS = HashedKeys(b"salt")
LINE = {
    "time": "2026-11-21T09:30:00.123Z",
    "request_id": "a",
    "model": "digits",
    "route": "predictions",
    "status": 200,
    "first_status": 200,
    "key": "eve",
    "attempts": 1,
    "seconds": 0.1,
    "microseconds": 100.0,
}
SUMMARY = {"request_id": "a", "model": "m", "version": "1", "label": "x", "probabilities": {"x": 0.5}, "seconds": 0.1}
METRICS = b'# TYPE marina_answers_total counter\nmarina_answers_total{model_name="digits",status="200",} 3.0 1700000000\nup 1\n'
PARTS = ["# TYPE", "# TYPE a", "a{", 'b="', "}", " 1\n", "\n", "NaN", "\\", "# HELP"]


@given(content=changed_bytes([METRICS]) | st.lists(st.sampled_from(PARTS)).map(lambda parts: " ".join(parts).encode()))
@example(content=b"# TYPE \n")
def test_metrics_are_read_or_are_none(content: bytes) -> None:
    """Prometheus' text, changed: figures, or the one error that says there are none."""
    with suppress(ValueError):
        parse(content.decode(errors="replace"))


@given(lines=st.lists(changed_documents([LINE]).map(written) | changed_bytes([written(LINE)]), max_size=3))
@example(lines=[written(LINE | {"time": "0001-01-01T00:00:00"})])
@example(lines=[written(LINE | {"status": 10**30}), written(LINE | {"attempts": 10**30})])
@example(lines=[written(LINE | {"seconds": float("nan")}), b"[" * 100_000, b"9" * 5000])
def test_whatever_a_line_of_the_access_log_has_the_next_is_recorded(lines: list[bytes]) -> None:
    """Spliced, cut and changed lines, years before time, numbers that no database holds: each is a row, or left out."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    good = written(LINE | {"request_id": "good", "key": "ada", "time": now})
    assert _recorded(b"\n".join([*lines, good]) + b"\n", b"") == 1


@given(lines=st.lists(changed_documents([SUMMARY]).map(written), max_size=3))
@example(lines=[written(SUMMARY | {"probabilities": {"x": float("nan")}}), written(SUMMARY | {"seconds": 10**400})])
def test_whatever_a_handlers_note_has_recording_goes_on(lines: list[bytes]) -> None:
    """What the recorder reads of workers: taken, or left out."""
    good = written(LINE | {"request_id": "good", "key": "ada", "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())})
    assert _recorded(good + b"\n", b"\n".join(lines) + b"\n") == 1


def _recorded(log: bytes, notes: bytes) -> int:
    """How many requests of ada's a recorder has after one look."""
    with tempfile.TemporaryDirectory() as folder:
        state = State(Path(folder))
        (state.traffic / "summaries").mkdir(parents=True)
        (state.traffic / "access.log").write_bytes(log)
        (state.traffic / "summaries" / "m-1.jsonl").write_bytes(notes)
        with Traffic(state, None, create=True) as traffic:
            Recorder(state, traffic, KEYS, Keeping(), "http://127.0.0.1:1").look()
            return rows_of(traffic, KEYS.of("ada"))["requests"]
