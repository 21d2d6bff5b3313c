"""Run a recorder until it is stopped: one a state, on a port that is free."""

from __future__ import annotations

import os
import secrets
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from filelock import FileLock, Timeout

from marina.comparing.hashed_keys import read_salt
from marina.comparing.payload_server import taking_payloads
from marina.comparing.recorder import Keeping, Recorder
from marina.comparing.recorder_app import recorder_app
from marina.comparing.recording import Recording
from marina.comparing.traffic import Traffic
from marina.console import step
from marina.errors import MarinaError, UsageError
from marina.paths import State
from marina.serving.ports import holder_of

LOOPBACK = ("127.0.0.1", "::1", "localhost")
SHORTEST_KEY = 16
GRACE_SECONDS = 5
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class RecorderPlan:
    """What is recorded, where to, and where outcomes are taken.

    Attributes:
        state: whose logs are read.
        database: where to, where that is not the state's own file; see ``database_url``.
        keeping: what, and for how long.
        gateway: its internal address, ``http://host:port``.
        address: to listen on.
        port: to listen on.
        key_file: has the key that callers give, made where it is not there; required beyond loopback.
    """

    state: State
    database: str | None
    keeping: Keeping
    gateway: str
    address: str
    port: int
    key_file: Path | None


def record(plan: RecorderPlan) -> int:
    """Record until a signal asks to stop; returns the exit code.

    Raises:
        UsageError: beyond loopback without a key, or with one that is none.
        MarinaError: another recorder works on the state, the port is taken, or the database refuses.
    """
    key = _key(plan)
    with _alone(plan.state), Traffic(plan.state, plan.database, create=True) as traffic:
        recorder = Recorder(plan.state, traffic, read_salt(plan.state, create=True), plan.keeping, plan.gateway)
        app = recorder_app(Recording(recorder), key)
        with _listening(plan) as listener:
            step(f"recording into {traffic}; outcomes are taken at http://{plan.address}:{plan.port}/outcomes")
            server = uvicorn.Server(
                uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=GRACE_SECONDS)
            )
            for number in STOP_SIGNALS:  # uvicorn hands the one that ended it on to who had it before
                signal.signal(number, lambda *_: setattr(server, "should_exit", True))
            with taking_payloads(plan.state, recorder):
                server.run([listener])
    step("stopped")
    return 0


def _key(plan: RecorderPlan) -> str | None:
    if plan.key_file is None:
        if plan.address not in LOOPBACK:
            raise UsageError(f"--address {plan.address}: whoever reaches the machine could send outcomes: --key-file is required")
        return None
    try:
        if not plan.key_file.exists():
            _make_key(plan.key_file)
        key = plan.key_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--key-file {plan.key_file}: cannot be read: {getattr(error, 'strerror', 'not a text')}") from error
    if len(key) < SHORTEST_KEY or not key.isascii() or " " in key:
        raise UsageError(f"--key-file {plan.key_file}: required one key of {SHORTEST_KEY} characters or more, without spaces")
    return key


def _make_key(file: Path) -> None:
    """Whole or not at all, and for its owner alone."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    beside.touch(mode=0o600)
    beside.write_text(secrets.token_urlsafe(24) + "\n", encoding="ascii")
    beside.rename(file)
    step(f"made {file}, the key that callers give")


@contextmanager
def _alone(state: State) -> Iterator[None]:
    """Two recorders of one state would delete the log below each other."""
    state.traffic.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with FileLock(state.traffic / "recorder.lock", blocking=False):
            yield
    except Timeout as error:
        raise MarinaError(
            f"{state.traffic}: another recorder works on it: stop that, or name another folder with --state"
        ) from error


@contextmanager
def _listening(plan: RecorderPlan) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in plan.address else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((plan.address, plan.port))
        except OSError as error:
            reason = f"{error.strerror}{holder_of(plan.port)}"
            raise MarinaError(f"{plan.address}:{plan.port}: {reason}: stop that, or move with RECORDER_PORT or --port") from error
        yield listener
