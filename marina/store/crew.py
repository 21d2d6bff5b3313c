"""Carry out many orders, in this process or in several; one that fails stops no other, and Ctrl-C ends them all."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from marina.console import listening, step
from marina.errors import MarinaError
from marina.paths import Store
from marina.store.board import Board
from marina.store.build import Order, Tell, carry_out, unchanged
from marina.store.index import Entry
from marina.store.workshop import sweep

GRACE_S = 5.0  # for a worker to clean up when it is asked to end
SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Outcome:
    """How an order ended.

    Attributes:
        order: what was asked for.
        entry: of the archive that there is now; None if the order failed.
        built: whether it was built; False where nothing had changed.
        reason: why it failed, in a line.
        exit_code: that a script has for such a failure; 0 where all is well.
    """

    order: Order
    entry: Entry | None = None
    built: bool = False
    reason: str = ""
    exit_code: int = 0

    @property
    def how(self) -> str:
        """In a word."""
        return "failed" if self.entry is None else "built" if self.built else "unchanged"


def carry_out_all(orders: list[Order], store: Store, jobs: int = 1, *, apart: bool = False) -> list[Outcome]:
    """The outcome of each order, in their order; what has not changed is found out first, without importing torch.

    Args:
        orders: what is to be built.
        store: where.
        jobs: how many processes build at once; 1 builds in this one. Cores are divided among them.
        apart: whether also one alone has a process of its own, so that a build that is killed ends nothing else.
    """
    outcomes = {number: _looked(order, store) for number, order in enumerate(orders)}
    waiting = [number for number, outcome in outcomes.items() if outcome is None]
    if waiting:
        with Board() as board:
            size = min(jobs, len(waiting))
            run = _one_by_one if size == 1 and not apart else _Crew(size).run
            for number, outcome in run([(number, orders[number]) for number in waiting], store, board):
                outcomes[number] = outcome
    return [outcome for _, outcome in sorted(outcomes.items()) if outcome]


def _looked(order: Order, store: Store) -> Outcome | None:
    """The outcome of an order that needs no build."""
    try:
        entry = unchanged(order, store)
    except MarinaError as error:
        return Outcome(order, reason=str(error), exit_code=error.exit_code)
    if entry:
        step(f"{order.name}: nothing has changed since it was built")
    return Outcome(order, entry) if entry else None


def _one_by_one(orders: list[tuple[int, Order]], store: Store, board: Board) -> Iterator[tuple[int, Outcome]]:
    for number, order in orders:
        outcome = _tried(order, store, board.begin(order.name))
        board.end(order.name, outcome.how)
        yield number, outcome


def _tried(order: Order, store: Store, tell: Tell) -> Outcome:
    try:
        entry, built = carry_out(order, store, tell)
    except MarinaError as error:
        return Outcome(order, reason=str(error), exit_code=error.exit_code)
    except OSError as error:
        reason = f"{error.filename or order.name}: {error.strerror or error}"
        return Outcome(order, reason=reason, exit_code=1)
    except Exception as error:  # a fault of ours must not cost the other versions their builds
        step(traceback.format_exc())
        return Outcome(order, reason=f"{order.name}: {type(error).__name__}: {error}", exit_code=1)
    return Outcome(order, entry, built)


@dataclass
class _Worker:
    """A process that builds, one order after the other."""

    process: SpawnProcess
    connection: Connection
    printed: Path
    busy: tuple[int, Order, Tell] | None = None


@dataclass
class _Crew:
    """So many processes, which take orders as they get free; one that dies is replaced."""

    size: int
    workers: list[_Worker] = field(default_factory=list)

    def run(self, orders: list[tuple[int, Order]], store: Store, board: Board) -> Iterator[tuple[int, Outcome]]:
        """Outcomes as they come."""
        left = deque(orders)
        with ExitStack() as ending:
            folder = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="marina-crew-")))
            ending.callback(self._end, store)
            while left or any(worker.busy for worker in self.workers):
                self._hand_out(left, store, folder, board)
                ready = wait([worker.connection for worker in self.workers if worker.busy])
                for worker in [one for one in self.workers if one.connection in ready]:
                    ended = self._hear(worker)
                    if ended:
                        board.end(ended[1].order.name, ended[1].how)
                        yield ended

    def _hand_out(self, left: deque[tuple[int, Order]], store: Store, folder: Path, board: Board) -> None:
        while left and len(self.workers) < self.size:
            self.workers.append(_started(store, folder / str(len(list(folder.iterdir()))), self.size))
        for worker in self.workers:
            if left and worker.busy is None:
                number, order = left.popleft()
                worker.busy = number, order, board.begin(order.name)
                worker.connection.send(order)

    def _hear(self, worker: _Worker) -> tuple[int, Outcome] | None:
        """What a worker says: a step, a line for people, or an outcome; or that it is gone."""
        assert worker.busy  # noqa: S101 - only such are heard
        number, order, tell = worker.busy
        try:
            kind, said = worker.connection.recv()
        except (EOFError, OSError):
            self.workers.remove(worker)
            worker.process.join()
            return number, Outcome(order, reason=_death(order, worker), exit_code=1)
        if kind == "doing":
            tell(*said)
        elif kind == "said":
            step(said)
        else:
            worker.busy = None
            return number, said
        return None

    def _end(self, store: Store) -> None:
        """End every process; first asked, so that it cleans up."""
        for worker in self.workers:
            worker.connection.close()
            if worker.busy:
                worker.process.terminate()
        for worker in self.workers:
            worker.process.join(GRACE_S)
            worker.process.kill()
            worker.process.join()
        sweep(store)


def _started(store: Store, printed: Path, size: int) -> _Worker:
    ours, theirs = SPAWN.Pipe()
    printed.touch()
    with _threads(max(1, _cores() // size)):
        process = SPAWN.Process(target=_work, args=(theirs, store, printed), daemon=False)
        process.start()
    theirs.close()
    return _Worker(process, ours, printed)


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Processes that are started within have so many threads for what computes."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = before or str(number)
    try:
        yield
    finally:
        os.environ.pop("OMP_NUM_THREADS") if before is None else os.environ.update(OMP_NUM_THREADS=before)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _death(order: Order, worker: _Worker) -> str:
    """Why a process is gone that did not say so itself."""
    code = worker.process.exitcode or 0
    if code == -signal.SIGKILL:
        return f"{order.name}: its build was killed (SIGKILL), as Linux does when memory runs out: build with fewer --jobs"
    lines = worker.printed.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "without a word")
    return f"{order.name}: its build ended with exit code {code}: {last}"


def _work(connection: Connection, store: Store, printed: Path) -> None:
    """A worker's life: orders come, steps and outcomes go; what else is printed goes to a file."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the first of them ends us
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with printed.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    with listening(lambda text: connection.send(("said", text))):
        while True:
            try:
                order = connection.recv()
            except EOFError:
                return
            connection.send(("ended", _tried(order, store, lambda *said: connection.send(("doing", said)))))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)
