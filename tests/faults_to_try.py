"""The faults that are tried on a running house, each with what it says of them."""

from __future__ import annotations

import resource
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import requests
from servers import Serving, eventually
from small_disks import filled

from marina.serving.polling import pause

HELD_SECONDS = 5.0
SLOW_CLIENTS = 100

Strike = Callable[[Serving], None]


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        name: in the table.
        strike: does it; where it takes something away for a while, it also gives it back.
        said: what ``make serve`` says of it, a regular expression; None where it has nothing to say.
        errors: whether callers may be told errors.
        gateway_dies: whether connections are cut and refused meanwhile.
        short: whether make test tries it too.
    """

    name: str
    strike: Strike
    said: str | None = None
    errors: bool = False
    gateway_dies: bool = False
    short: bool = False

    def __str__(self) -> str:
        return self.name


def kill_a_worker(house: Serving) -> None:
    """The only worker of one arm."""
    house.workers()[0].kill()


def kill_all_workers(house: Serving) -> None:
    """Those of every arm at once."""
    for worker in house.workers():
        worker.kill()


def kill_torchserve(house: Serving) -> None:
    """Java; its workers end with it."""
    house.java().kill()


def kill_the_gateway(house: Serving) -> None:
    """Envoy."""
    process_of(house, "envoy").kill()


def kill_the_recorder(house: Serving) -> None:
    """What reads the access log."""
    process_of(house, "record_traffic.py").kill()


def stop_a_worker(house: Serving) -> None:
    """One hangs in the middle of whatever it does, and goes on later."""
    worker = house.workers()[0]
    worker.suspend()
    pause(HELD_SECONDS)
    worker.resume()


def take_file_handles(of: Callable[[Serving], psutil.Process]) -> Strike:
    """A process may open no more files for a while, and callers come whom it has never seen."""

    def strike(house: Serving) -> None:
        process = of(house)
        before = process.rlimit(resource.RLIMIT_NOFILE)
        process.rlimit(resource.RLIMIT_NOFILE, (process.num_fds(), before[1]))
        try:
            with new_callers(house.ports.gateway_port):
                pause(HELD_SECONDS)
        finally:
            process.rlimit(resource.RLIMIT_NOFILE, before)

    return strike


def fill_the_disk(house: Serving) -> None:
    """That of the logs and of the state: nothing can be written, until somebody makes room."""
    with filled(house.folder):
        pause(HELD_SECONDS)


def replace_an_archive(house: Serving) -> None:
    """Garbage takes an archive's place while it is served, and its worker must start anew."""
    archive = house.store.archives / "digits-1.0.mar"
    kept = archive.with_suffix(".kept")
    shutil.copy(archive, kept)
    archive.write_bytes(b"garbage")
    kill_a_worker(house)
    pause(HELD_SECONDS)
    kept.replace(archive)


def come_slowly(house: Serving) -> None:
    """A hundred clients send the head of a request and then nothing, and never end."""
    with new_callers(
        house.ports.gateway_port, b"POST /predictions/digits HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nslow"
    ):
        pause(2 * HELD_SECONDS)


@contextmanager
def new_callers(port: int, sending: bytes = b"") -> Iterator[None]:
    """Connections that stay open."""
    with ExitStack() as held:
        for _ in range(SLOW_CLIENTS):
            connection = held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            connection.sendall(sending)
        yield


def process_of(house: Serving, program: str) -> psutil.Process:
    """The process whose command names a program."""

    def is_it(process: psutil.Process) -> bool:
        return process.is_running() and any(Path(part).name == program for part in process.cmdline()[:2])

    return next(process for process in house.remember_family() if is_it(process))


def is_whole(house: Serving) -> bool:
    """Whether every arm has READY workers, as the gateway sees it."""
    try:
        return requests.get(house.url("/ready?strict", "gateway"), timeout=5).status_code == 200
    except requests.RequestException:
        return False


def comes_back(house: Serving, seconds: float) -> bool:
    """Whether it is whole within so many seconds."""
    return eventually(lambda: is_whole(house), seconds)


AGAIN = r"worker \d+ \(pid \d+\) is READY again"
FAULTS = (
    Fault("a worker is killed", kill_a_worker, rf"was lost[\s\S]*{AGAIN}", errors=True, short=True),
    Fault("all workers are killed", kill_all_workers, AGAIN, errors=True),
    Fault("a worker hangs for 5 s", stop_a_worker, errors=True),
    Fault("TorchServe is killed", kill_torchserve, "TorchServe has ended: it is started again", errors=True, short=True),
    Fault("the gateway is killed", kill_the_gateway, "the gateway was lost, and runs again", gateway_dies=True, short=True),
    Fault("the recorder is killed", kill_the_recorder, "the recorder was lost, and is started again"),
    Fault("the gateway gets no file handles for 5 s", take_file_handles(lambda house: process_of(house, "envoy"))),
    Fault("TorchServe gets no file handles for 5 s", take_file_handles(Serving.java), errors=True),
    Fault("the disk of logs and state is full for 5 s", fill_the_disk),
    Fault("an archive is replaced by garbage, and its worker dies", replace_an_archive, AGAIN, errors=True),
    Fault("a hundred clients that never end their request", come_slowly),
)
