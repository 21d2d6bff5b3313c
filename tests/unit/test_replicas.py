"""What the exporter makes of several TorchServes that answer by one name."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from marina.errors import MarinaError
from marina.serving.free_ports import free_port
from marina.serving.management import Management
from marina.watching.exported import Sample
from marina.watching.replicas import Replicas, addresses_of
from marina.watching.sources import Server

FIRST, SECOND, THIRD = "127.0.0.1", "127.0.0.2", "127.0.0.3"
OF = ("digits", "1.0")


@dataclass
class Told:
    """What a Management API says: of one version, whose workers have these process ids."""

    pids: list[int]
    waiting: int = 0

    def answer(self, path: str) -> Any:
        if path.startswith("/models?"):
            return {"models": [{"modelName": "digits", "modelUrl": "digits-1.0.mar"}]}
        workers = [
            {"id": str(9000 + place), "status": "READY", "pid": pid, "memoryUsage": 100 + pid}
            for place, pid in enumerate(self.pids)
        ]
        one = {"modelName": "digits", "modelVersion": "1.0", "modelUrl": "digits-1.0.mar", "batchSize": 1, "maxBatchDelay": 1}
        queue = {"pendingRequests": self.waiting, "remainingCapacity": 100 - self.waiting}
        return [one | {"minWorkers": len(workers), "workers": workers, "jobQueueStatus": queue}]


@dataclass
class Name:
    """A name on this machine, and the addresses that it stands for."""

    port: int = field(default_factory=free_port)
    addresses: set[str] = field(default_factory=set)
    _held: ExitStack = field(default_factory=ExitStack)

    def serve(self, address: str, told: Told) -> None:
        """One more of them."""
        self._held.enter_context(listening(address, self.port, told))
        self.addresses.add(address)

    def source(self) -> Replicas:
        """What looks at all of them."""
        return Replicas(f"http://models:{self.port}", lambda url: Server(Management(url)), lambda _: set(self.addresses))

    def close(self) -> None:
        self._held.close()


@contextmanager
def listening(address: str, port: int, told: Told) -> Iterator[None]:
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(told.answer(self.path)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Looks come again and again."""

    with ThreadingHTTPServer((address, port), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def name() -> Iterator[Name]:
    one = Name()
    yield one
    one.close()


def values(source: Replicas) -> dict[str, float]:
    found = [Sample(*one) for one in source.look()]
    assert len({(one.name, one.labels) for one in found}) == len(found)  # Prometheus takes each once
    return {one.name: one.value for one in found if one.labels == OF}


def test_what_several_servers_say_is_added_up(name: Name) -> None:
    """Workers and queues are sums; the version that is every server's default is it once."""
    name.serve(FIRST, Told([11], waiting=2))
    name.serve(SECOND, Told([11, 12], waiting=3))
    told = values(name.source())
    assert (told["marina_workers_ready"], told["marina_workers_wanted"], told["marina_queue_waiting_requests"]) == (3, 3, 5)
    assert told["marina_version_default"] == 1
    assert told["marina_worker_restarts_total"] == 0


def test_restarts_stay_counted_when_their_server_goes(name: Name) -> None:
    """A counter that fell would look as if it had begun anew; a server that comes has no restarts."""
    first, second = Told([11]), Told([11])
    name.serve(FIRST, first)
    name.serve(SECOND, second)
    source = name.source()
    values(source)
    first.pids, second.pids = [21], [31]
    assert values(source)["marina_worker_restarts_total"] == 2
    name.addresses.remove(SECOND)
    name.serve(THIRD, Told([99]))
    told = values(source)
    assert (told["marina_worker_restarts_total"], told["marina_workers_ready"]) == (2, 2)


def test_a_server_that_does_not_answer_leaves_the_others(name: Name) -> None:
    """Only where none does, the source is down."""
    name.serve(FIRST, Told([11]))
    name.addresses.add(SECOND)
    source = name.source()
    assert values(source)["marina_workers_ready"] == 1
    name.addresses.remove(FIRST)
    with pytest.raises(MarinaError, match=r"no Management API answers at http://127\.0\.0\.2"):
        values(source)


def test_a_name_that_stands_for_nothing_is_said() -> None:
    """As long as no TorchServe is healthy, Swarm's name is not there."""
    with pytest.raises(MarinaError, match=r"^tasks\.torchserve\.invalid: no TorchServe answers by that name: "):
        addresses_of("tasks.torchserve.invalid")
