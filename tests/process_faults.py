"""Faults of processes: they are killed, held up, starved of file handles, or asked to end."""

from __future__ import annotations

import resource
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
from caller_faults import new_callers
from killing import script
from servers import Serving
from version_faults import another_deployment

from marina.serving.polling import pause

HELD_SECONDS = 5.0


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


def take_file_handles(of: Callable[[Serving], psutil.Process]) -> Callable[[Serving], None]:
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


def end_the_house(house: Serving) -> None:
    """SIGTERM to make serve while a deployment is being applied; it is started again."""
    with script("apply_deployment", *another_deployment(house), environment=house.environment) as apply:
        assert apply.stdout is not None
        assert apply.stdout.readline()
        assert house.stop(signal.SIGTERM) == 0
        said, _ = apply.communicate(timeout=60)
    assert "Traceback" not in said
    house.start_again()


def end_every_process(house: Serving) -> None:
    """SIGTERM to all that the house is made of at once, as a machine does that is shut down; it is started again."""
    for process in [psutil.Process(house.process.pid), *house.remember_family()]:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    assert house.process.wait(60) == 0
    house.start_again()


def process_of(house: Serving, program: str) -> psutil.Process:
    """The process whose command names a program."""

    def is_it(process: psutil.Process) -> bool:
        return process.is_running() and any(Path(part).name == program for part in process.cmdline()[:2])

    return next(process for process in house.remember_family() if is_it(process))
