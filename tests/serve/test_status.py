"""show_status.py against a real server under load."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from scripts_of_ours import run_script
from servers import Serving, eventually

from marina import paths

SCRIPT = paths.ROOT / "scripts" / "show_status.py"


@contextmanager
def load(server: Serving, content: bytes) -> Iterator[None]:
    """One caller that asks digits 2.0 without a pause, one request in two bad, until the end."""
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            server.ask("/predictions/digits/2.0", content)
            server.ask("/predictions/digits/2.0", b"no image")

    caller = threading.Thread(target=ask)
    caller.start()
    try:
        yield
    finally:
        over.set()
        caller.join()


def test_a_look_counts_what_happened_meanwhile(server: Serving, seven: bytes) -> None:
    """Rate, refusals, latency and batches of the version that was asked, and nothing of the one that was not."""
    with load(server, seven):
        done = run_script("show_status", "--json", "--seconds", "4", environment=server.environment)
    assert done.code == 0, done.err
    rows = {row["version"]: row for row in json.loads(done.out)["versions"] if row["model"] == "digits"}
    asked, idle = rows["2.0"], rows["1.0"]
    assert (asked["ready"], asked["workers"], asked["is_default"], idle["is_default"]) == (1, 1, False, True)
    assert asked["answers_per_second"] > 0.5
    assert asked["explanations_per_second"] == 0
    assert (asked["weight"], asked["restarts"]) == (None, 0)
    assert 0.2 < asked["refused"] < 0.8
    assert asked["failed"] == 0
    assert 0 < asked["p50_ms"] <= asked["p99_ms"]
    assert asked["queue_ms"] > 300, "2.0 waits 400 ms for its batches to fill"
    assert asked["rows_per_batch"] == 1
    assert idle["answers_per_second"] == 0
    assert idle["p50_ms"] is None


def test_where_there_is_no_terminal_one_table_is_printed(server: Serving) -> None:
    """The columns, and both versions."""
    done = run_script("show_status", "--seconds", "1", environment=server.environment)
    assert done.code == 0, done.err
    assert re.search(r"^model +version +split +workers +lost +rate/s +4xx +5xx +p50 ms +p99 ms +queue ms +rows", done.out)
    assert re.search(r"^digits +1\.0 \(default\) +– +1/1 +0 ", done.out, re.MULTILINE), "there is no split"


def test_the_screen_is_shown_until_it_is_stopped(server: Serving, seven: bytes) -> None:
    """In a terminal the table comes again and again, and Ctrl-C ends it without a traceback."""
    ours, theirs = pty.openpty()
    environment = os.environ | server.environment | {"TERM": "xterm", "COLUMNS": "140", "LINES": "30"}
    command = [sys.executable, str(SCRIPT), "--seconds", "1"]
    process = subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True)
    os.close(theirs)
    seen = bytearray()

    def shown() -> bool:
        while select.select([ours], [], [], 0)[0]:
            seen.extend(os.read(ours, 65536))
        return seen.count(b"queue ms") >= 3 and b"Ctrl-C ends" in seen

    try:
        with load(server, seven):
            assert eventually(shown), seen.decode()
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(30)
        os.close(ours)
    assert code == 130
    assert b"Traceback" not in seen
