"""The exporter's /ready, by which a pod is given requests."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import requests
from servers import eventually

from marina import paths
from marina.errors import MarinaError
from marina.serving.free_ports import free_ports
from marina.watching.exported import Sample
from marina.watching.exporter import export
from marina.watching.ready import missing
from marina.watching.sources import Source, WrittenDeployment


class Workers(Source):
    """A TorchServe as its Management API would tell of it."""

    name = "torchserve"

    def __init__(self) -> None:
        self.ready: dict[str, int] | None = None

    def look(self) -> Iterable[Sample]:
        if self.ready is None:
            raise MarinaError("no answer")
        for version, ready in self.ready.items():
            yield Sample("marina_workers_ready", ("digits", version), ready)
            yield Sample("marina_workers_wanted", ("digits", version), 2)


def test_ready_is_a_worker_of_each_deployed_version_and_strictly_all_of_them() -> None:
    """Not before TorchServe was seen, not with a version missing; with one of two workers ready, but not strictly."""
    workers, stopping, port = Workers(), threading.Event(), free_ports().exporter_port
    sources: list[Source] = [workers, WrittenDeployment(paths.DEPLOYMENT)]
    thread = threading.Thread(target=export, args=(sources, 0.01, "127.0.0.1", port, stopping))
    thread.start()

    def says(path: str, status: int, text: str) -> bool:
        answer = requests.get(f"http://127.0.0.1:{port}{path}", timeout=10)
        return (answer.status_code, answer.text) == (status, text)

    try:
        assert eventually(lambda: _listens(port))
        assert eventually(lambda: says("/ready", 503, "torchserve: not seen\n"))
        workers.ready = {"1.0": 2}
        assert eventually(lambda: says("/ready", 503, "digits 2.0: 0 of 0 workers are READY\n"))
        workers.ready = {"1.0": 2, "2.0": 1}
        assert eventually(lambda: says("/ready", 200, "ready\n"))
        assert says("/ready?strict", 503, "digits 2.0: 1 of 2 workers are READY\n")
        workers.ready = {"1.0": 2, "2.0": 2}
        assert eventually(lambda: says("/ready?strict", 200, "ready\n"))
        assert "marina_workers_ready" in requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
        workers.ready = None
        assert eventually(lambda: says("/ready", 503, "torchserve: not seen\n"))
    finally:
        stopping.set()
        thread.join()


def _listens(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/ready", timeout=5).status_code > 0
    except requests.ConnectionError:
        return False


def test_a_deployment_that_cannot_be_read_is_not_ready() -> None:
    """Nobody knows then what should be served."""
    workers = Workers()
    workers.ready = {"1.0": 2}
    said = [Sample("marina_source_up", ("torchserve",), value=True), *workers.look()]
    assert missing([*said, Sample("marina_source_up", ("deployment",), value=False)], strict=False) == ["deployment: not seen"]
