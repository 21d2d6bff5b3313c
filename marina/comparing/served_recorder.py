"""The recorder as a part of ``make serve``: started before the gateway, stopped after it, so that it reads all there is."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from marina import paths
from marina.errors import MarinaError
from marina.paths import State
from marina.serving.children import end, last_lines
from marina.serving.deployment import Deployment
from marina.serving.polling import wait_for

SCRIPT = paths.ROOT / "scripts" / "record_traffic.py"
LOG = "recorder.log"
LOG_LINES = 5
START_SECONDS = 60
LOOK_SECONDS = 0.1
GRACE_SECONDS = 60  # it reads what is left, and writes it
AGAIN_SECONDS = 10.0


@dataclass(frozen=True)
class ServedRecorderPlan:
    """A recorder that is to be started.

    Attributes:
        state: whose traffic is recorded.
        port: where it takes outcomes.
        gateway: internal address of the gateway, ``http://host:port``.
        logs: folder of its log.
    """

    state: State
    port: int
    gateway: str
    logs: Path

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"


class ServedRecorder:
    """A recorder that runs beside the gateway; one that ends is started again, and never ends what it records."""

    def __init__(self, plan: ServedRecorderPlan) -> None:
        """Nothing runs yet."""
        self._plan = plan
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0

    def start(self, tick: Callable[[], None]) -> None:
        """Start it, and wait until it records.

        Args:
            tick: called at each look; what it raises ends the wait.

        Raises:
            MarinaError: it does not start; the message has its reason.
        """
        self._run()

        def records() -> bool:
            tick()
            if not self.is_running:
                raise MarinaError("\n".join(["the recorder did not start; the end of its log:", *self._log_tail()]))
            with contextlib.suppress(requests.RequestException):
                return requests.get(f"{self._plan.url}/healthz", timeout=5).status_code in (200, 503)
            return False

        if not wait_for(records, START_SECONDS, LOOK_SECONDS):
            raise MarinaError(f"the recorder did not answer within {START_SECONDS} s; its log: {self._plan.logs / LOG}")

    @property
    def is_running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def look(self) -> list[str]:
        """Start it again where it has ended; a sentence for that."""
        if self.is_running or time.monotonic() - self._started_at < AGAIN_SECONDS:
            return []
        said = self._log_tail()[-1:]
        self._run()
        return [f"the recorder was lost, and is started again{f'; it said: {said[0]}' if said else ''}"]

    def stop(self) -> None:
        """Ask it to read what is left and to end."""
        if self._process is not None:
            end(self._process, GRACE_SECONDS)
            self._process = None

    def _run(self) -> None:
        own = ["--state", str(self._plan.state.folder), "--port", str(self._plan.port), "--gateway", self._plan.gateway]
        self._started_at = time.monotonic()
        with (self._plan.logs / LOG).open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(SCRIPT), *own],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # else Ctrl-C would reach it before the gateway has written its last line
            )

    def _log_tail(self) -> list[str]:
        return last_lines(self._plan.logs / LOG, LOG_LINES)


@contextmanager
def recorder_of(plan: ServedRecorderPlan | None) -> Iterator[ServedRecorder | None]:
    """The recorder of a plan, stopped at the end."""
    if plan is None:
        yield None
        return
    recorder = ServedRecorder(plan)
    try:
        yield recorder
    finally:
        recorder.stop()


def tell_split(state: State, deployment: Deployment) -> None:
    """Record the splits that are served from now on; those that are as they were are known.

    Raises:
        MarinaError: the record cannot be written.
    """
    from marina.comparing.traffic import Traffic  # SQLAlchemy takes a while to import

    with Traffic(state, create=True) as traffic:
        for model, deployed in deployment.models.items():
            split = deployed.split
            if split and traffic.add_split(model, split.experiment or model, split.weights):
                traffic.add_event(model, "deployment", f"served: {split}")
