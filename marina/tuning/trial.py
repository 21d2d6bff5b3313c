"""A TorchServe of the search's own: points are registered, asked and taken back, one at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from marina import paths
from marina.config.settings import read_settings
from marina.console import step
from marina.errors import MarinaError
from marina.paths import Store
from marina.serving.deployment import DeployedVersion, Wanted
from marina.serving.free_ports import free_ports
from marina.serving.inference import Inference
from marina.serving.management import Management
from marina.serving.payloads import Payload
from marina.serving.polling import wait_for
from marina.serving.process import TorchServe
from marina.serving.properties import effective_properties
from marina.serving.service import Server, take_out_of_service, wait_until_ready
from marina.tuning.archives import Archives
from marina.tuning.space import Point

LOOPBACK = "127.0.0.1"
START_SECONDS = 90
ATTEMPTS = 3  # to start: a port may be taken between its choice and its use


class Trial:
    """A server, as a context. One that ended is started anew for the next point."""

    def __init__(self, archives: Archives, logs: Path) -> None:
        """Prepare it; it starts with the first point.

        Args:
            archives: that are served.
            logs: folder for TorchServe's own.
        """
        self._archives, self._logs = archives, logs
        self._torchserve: TorchServe | None = None
        self._server: Server | None = None
        self._ending = ExitStack()

    def __enter__(self) -> Trial:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server."""
        self._ending.close()

    @contextmanager
    def serving(self, point: Point, sample: Payload) -> Iterator[str]:
        """The address to ask a point at, while it is served.

        Args:
            point: which.
            sample: a request that it must answer.

        Raises:
            MarinaError: it does not come into service.
        """
        server = self._started()
        model, version = self._archives.found.spec.name, point.format.name
        settings = DeployedVersion(batch_size=point.batch_size, max_batch_delay_ms=point.max_batch_delay_ms)
        with self._archives.laid_out(point.format, point.layout) as archive:
            try:
                server.management.register(archive.name, Wanted(model, version, settings), point.layout.workers)
                wait_until_ready(server, model, version, self._check)
                _ask(server, model, version, sample)
                yield f"{server.inference.address}/predictions/{model}/{version}"
            finally:
                self._take_back(server, model, version)

    def last_words(self) -> str:
        """The last that the server's workers said that looks like a reason."""
        lines = self._torchserve.log_tail(200, "MODEL_LOG") if self._torchserve else []
        return next((line.partition("MODEL_LOG - ")[2][:300] for line in reversed(lines) if "Error" in line), "")

    def _take_back(self, server: Server, model: str, version: str) -> None:
        """Unregister it; a server that cannot do that is ended, and the next point gets another."""
        try:
            take_out_of_service(server, model, version)
        except MarinaError:
            self._end()

    def _check(self) -> None:
        if self._torchserve is None or not self._torchserve.is_running:
            raise MarinaError("TorchServe has ended")

    def _started(self) -> Server:
        if self._server and self._torchserve and self._torchserve.is_running:
            return self._server
        self._end()
        for attempt in range(ATTEMPTS):
            with contextlib.suppress(_Ended):
                return self._start()
            step(f"TorchServe ended while it started (attempt {attempt + 1} of {ATTEMPTS})")
        raise Unserved(f"TorchServe does not start; its log is in {self._logs}")

    def _start(self) -> Server:
        ports, settings = free_ports(), read_settings(paths.SERVER_CONFIG, {})
        text = effective_properties(settings, paths.ROOT, ports, LOOPBACK, self._archives.store)
        torchserve = self._torchserve = self._ending.enter_context(TorchServe(text, self._logs))
        management = Management(f"http://{LOOPBACK}:{ports.management_port}")
        if not wait_for(lambda: management.answers() or not torchserve.is_running, START_SECONDS) or not torchserve.is_running:
            self._end()
            raise _Ended
        inference = Inference(f"http://{LOOPBACK}:{ports.inference_port}")
        self._server = Server(management, inference, Store(self._archives.store.folder))
        return self._server

    def _end(self) -> None:
        self._ending.close()
        self._torchserve = self._server = None


class Unserved(MarinaError):
    """No server can be had: nothing more can be measured."""


class _Ended(Exception):
    """A server ended before it answered."""


def _ask(server: Server, model: str, version: str, sample: Payload) -> None:
    answer = server.inference.ask(model, sample.content, version, headers=sample.headers)
    if answer.error is not None:
        raise MarinaError(f"its request is answered with {answer.status}: {answer.error}")
