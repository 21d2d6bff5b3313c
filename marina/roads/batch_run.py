"""A run over many inputs: planned, computed by processes, put together; or gone on with, where an earlier one was stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout
from rich.progress import Progress

from marina.console import err, step
from marina.errors import MarinaError, UsageError
from marina.roads.listing import Inputs
from marina.roads.parts import Parts, Plan, put_together, run_digest, run_of
from marina.serving.free_ports import free_port
from marina.serving.polling import pause

LOOK_S = 0.2
MISSING = "missing.json"
HOW = "what is complete is kept: run the same command again and it goes on"


@dataclass(frozen=True)
class Job:
    """What a person asks for.

    Attributes:
        archive: to predict with.
        archive_sha256: of it.
        inputs: to predict.
        output: the Parquet file to be written.
        part_rows: inputs in a part.
        batch_rows: inputs that are computed together.
        force: whether an output, or an unfinished run, of something else is replaced.
    """

    archive: Path
    archive_sha256: str
    inputs: Inputs
    output: Path
    part_rows: int
    batch_rows: int
    force: bool

    @property
    def run(self) -> str:
        """What tells its run from every other."""
        return run_digest(self.archive_sha256, self.inputs)

    @property
    def parts(self) -> Parts:
        """Its folder, beside the output."""
        return Parts(self.output.with_name(f"{self.output.name}.parts"))


@dataclass(frozen=True)
class Done:
    """How a run ended: inputs by status, how many of them were computed now, and in how many seconds."""

    counts: dict[str, int]
    computed: int
    seconds: float


@contextmanager
def alone(job: Job) -> Iterator[None]:
    """See that no other process writes the same output.

    Raises:
        MarinaError: one does, or the output's folder cannot be written.
    """
    try:
        job.output.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(job.output.with_name(f".{job.output.name}.lock"))
        with lock.acquire(timeout=0):
            yield
    except Timeout as error:
        raise MarinaError(f"{job.output}: another predict_batch.py is at it: let it finish, or end it") from error


def prepare(job: Job) -> Parts | None:
    """The run's folder, with its plan; None where the output is finished already.

    Raises:
        UsageError: output or folder are of something else.
    """
    if run_of(job.output) == job.run and not job.force:
        step(f"{job.output} is finished: nothing to do; --force computes it again")
        return None
    if job.output.exists() and not job.force:
        raise UsageError(f"{job.output} is there, and not of this archive and these inputs: name another, or give --force")
    parts = job.parts
    if parts.folder.exists() and (job.force or not parts.is_planned):
        parts.remove()
    if not parts.is_planned:
        plan = Plan(
            run=job.run,
            archive=str(job.archive.resolve()),
            base=str(job.inputs.base),
            rows=len(job.inputs.names),
            part_rows=job.part_rows,
            batch_rows=job.batch_rows,
        )
        parts.begin(plan, job.inputs)
        return parts
    if parts.plan.run != job.run:
        raise UsageError(
            f"{parts.folder} has an unfinished run of another archive, or of other inputs: "
            "run that to its end, name another output, or give --force"
        )
    return parts


def compute(parts: Parts, processes: int) -> Done:
    """Compute what is missing, by processes of this machine.

    Raises:
        MarinaError: a process ended; what is complete is kept.
    """
    missing, began = parts.missing(), time.monotonic()
    rows = sum(len(parts.range_of(part)) for part in missing)
    if rows < parts.plan.rows:
        step(f"going on: {parts.plan.rows - rows:,} of {parts.plan.rows:,} inputs are there")
    (parts.folder / MISSING).write_text(json.dumps(missing), encoding="utf-8")
    if missing:
        _run_processes(parts, min(processes, len(missing)))
    return Done({}, rows, time.monotonic() - began)


def finish(parts: Parts, output: Path) -> dict[str, int]:
    """Put the parts together, and remove them; what the handler logged stays where rows failed.

    Raises:
        MarinaError: parts are missing.
    """
    if missing := parts.missing():
        raise MarinaError(f"{len(missing)} of {parts.count} parts are missing after all processes ended: {HOW}")
    counts = put_together(parts, output)
    if any(status.startswith("5") for status in counts):
        log = output.with_name(f"{output.name}.log")
        log.write_bytes(b"".join(path.read_bytes() for path in sorted(parts.folder.glob("process-*.log"))))
        step(f"why inputs failed in the model, by their index: {log}")
    parts.remove()
    return counts


def _run_processes(parts: Parts, count: int) -> None:
    with ExitStack() as ended:
        port = free_port()
        processes = [ended.enter_context(_process(parts, rank, count, port)) for rank in range(count)]
        with Progress(console=err) as progress:
            task = progress.add_task("predicting", total=parts.plan.rows)
            while any(process.poll() is None for process in processes):
                progress.update(task, completed=parts.rows_written())
                _check(parts, processes)
                pause(LOOK_S)
            progress.update(task, completed=parts.rows_written())
        _check(parts, processes)


@contextmanager
def _process(parts: Parts, rank: int, count: int, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process with the variables that torchrun would give it; it ends with us, however that happens."""
    told: dict[str, object] = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "GROUP_RANK": 0}
    told |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "predict_batch"}
    command = [sys.executable, "-m", "marina.roads.process", str(parts.folder)]
    environment = os.environ | {name: str(value) for name, value in told.items()}
    with _log(parts, rank).open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    try:
        yield process
    finally:
        process.kill()
        _close(process.stdin)
        process.wait()


def _close(pipe: IO[bytes] | None) -> None:
    if pipe:
        pipe.close()


def _log(parts: Parts, rank: int) -> Path:
    return parts.folder / f"process-{rank}.log"


def _check(parts: Parts, processes: list[subprocess.Popen[bytes]]) -> None:
    for rank, process in enumerate(processes):
        if code := process.poll():
            raise MarinaError(f"process {rank + 1} of {len(processes)} {_why(code, _log(parts, rank))}; {HOW}")


def _why(code: int, log: Path) -> str:
    if code == -signal.SIGKILL:
        return "was killed (SIGKILL), as Linux does when memory runs out"
    if code < 0:
        return f"crashed ({signal.Signals(-code).name})"
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f"failed: {lines[-1][:300]}" if lines else f"ended with exit code {code}"
