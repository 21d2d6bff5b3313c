"""The faults that are tried on a running house, each with what it says of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import caller_faults as callers
import house_faults as houses
import process_faults as processes
import requests
import version_faults as versions
from servers import Serving, eventually
from third_digits import BROKEN, GREEDY

Strike = Callable[[Serving], None]


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        name: in the table.
        strike: does it; where it takes something away for a while, it also gives it back.
        said: what ``make serve`` says of it, a regular expression; None where it has nothing to say.
        prepare: what is needed for it, before the load begins.
        errors: whether callers may be told errors.
        refuses: whether no connection may be had for a while.
        cuts: whether connections may be cut.
        unwritten: whether the gateway is killed, so that the record may miss what it was about to write.
        short: whether make test tries it too.
    """

    name: str
    strike: Strike
    said: str | None = None
    prepare: Strike | None = None
    errors: bool = False
    refuses: bool = False
    cuts: bool = False
    unwritten: bool = False
    short: bool = False

    def __str__(self) -> str:
        return self.name


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
DIED = "its worker died while it loaded"
FAULTS = (
    Fault("a worker is killed", processes.kill_a_worker, rf"was lost[\s\S]*{AGAIN}", errors=True, short=True),
    Fault("all workers are killed", processes.kill_all_workers, AGAIN, errors=True),
    Fault("a worker hangs for 5 s", processes.stop_a_worker, errors=True),
    Fault(
        "TorchServe is killed",
        processes.kill_torchserve,
        "TorchServe has ended: it is started again",
        errors=True,
        short=True,
    ),
    Fault(
        "the gateway is killed",
        processes.kill_the_gateway,
        "the gateway was lost, and runs again",
        refuses=True,
        cuts=True,
        unwritten=True,
        short=True,
    ),
    Fault("the recorder is killed", processes.kill_the_recorder, "the recorder was lost, and is started again"),
    Fault(
        "the gateway gets no file handles for 5 s",
        processes.take_file_handles(lambda house: processes.process_of(house, "envoy")),
    ),
    Fault("TorchServe gets no file handles for 5 s", processes.take_file_handles(Serving.java), errors=True),
    Fault("the disk of logs and state is full for 5 s", houses.fill_the_disk),
    Fault("an archive is replaced by garbage, and its worker dies", houses.replace_an_archive, AGAIN, errors=True),
    Fault("another deployment is applied, and the first again", versions.apply_another),
    Fault("a version is applied that cannot load", versions.bring(BROKEN, DIED), prepare=versions.build_them),
    Fault(
        "a version is applied that takes all memory while it loads",
        lambda house: versions.bring_a_greedy_one(house, GREEDY, DIED),
        prepare=versions.build_them,
    ),
    Fault("a hundred clients that never end their request", callers.come_slowly),
    Fault("a hundred clients that send a byte a second", callers.drip),
    Fault("a hundred clients that vanish without a word", callers.vanish),
    Fault("SIGTERM to make serve amid an apply, and a new start", processes.end_the_house, refuses=True, short=True),
    Fault("SIGTERM to every process at once, and a new start", processes.end_every_process, errors=True, refuses=True, cuts=True),
)
