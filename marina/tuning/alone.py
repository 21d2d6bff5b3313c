"""How fast an archive is without a server: in as many processes as it would have workers, which measure at the same time."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Timer

from marina import paths
from marina.errors import MarinaError
from marina.store.contents import unpack
from marina.tuning.search import Alone

WORKER = Path(__file__).with_name("alone_worker.py")
SECONDS = 0.4  # a batch size
PATIENCE_S = 120.0


def measure_alone(
    archive: Path, workers: int, requests: Sequence[bytes], batches: Sequence[int], seconds: float = SECONDS
) -> Alone:
    """Rates of an archive's work, from a request's bytes to its answer, by batch size.

    Args:
        archive: a ``.mar``.
        workers: processes that work at the same time.
        requests: that are asked in turn.
        batches: sizes to measure.
        seconds: to measure each.

    Raises:
        MarinaError: it does not load, or does not answer.
    """
    with tempfile.TemporaryDirectory(prefix="marina-alone-") as name, ExitStack() as ending:
        folder = Path(name)
        unpack(archive, folder / "archive")
        (folder / "requests").mkdir()
        for number, request in enumerate(requests):
            (folder / "requests" / f"{number:06}").write_bytes(request)
        started = [ending.enter_context(_worker(folder, number, batches, seconds)) for number in range(workers)]
        timer = Timer(PATIENCE_S, _kill, (started,))
        ending.callback(timer.cancel)
        timer.start()
        for number, one in enumerate(started):
            _line(one, archive, folder, number)
        rates = {batch: sum(batch / taken for taken in _taken(started, archive, folder)) for batch in batches}
    return Alone(rows_per_second=rates)


def _kill(started: list[subprocess.Popen[str]]) -> None:
    for one in started:
        one.kill()


def _taken(started: list[subprocess.Popen[str]], archive: Path, folder: Path) -> list[float]:
    """Seconds of a batch in each process, all at the same time."""
    for one in started:
        assert one.stdin  # noqa: S101 - a pipe
        try:
            one.stdin.write("\n")
            one.stdin.flush()
        except BrokenPipeError:
            continue  # reading says why
    return [float(_line(one, archive, folder, number)) for number, one in enumerate(started)]


@contextmanager
def _worker(folder: Path, number: int, batches: Sequence[int], seconds: float) -> Iterator[subprocess.Popen[str]]:
    own = {"PYTHONPATH": str(folder / "archive"), "PYTHONDONTWRITEBYTECODE": "1", "OTEL_SDK_DISABLED": "true"}
    asked = [folder / "archive", paths.METRICS_CONFIG, folder / "requests", ",".join(map(str, batches)), seconds]
    with (folder / f"printed-{number}").open("wb") as printed:
        process = subprocess.Popen(
            [sys.executable, "-P", str(WORKER), *map(str, asked)],
            cwd=folder / "archive",
            env=os.environ | own,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=printed,
            text=True,
            start_new_session=True,  # Ctrl-C is ours
        )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _line(process: subprocess.Popen[str], archive: Path, folder: Path, number: int) -> str:
    """The next line that a process says.

    Raises:
        MarinaError: it says nothing more.
    """
    assert process.stdout  # noqa: S101 - a pipe
    if line := process.stdout.readline().strip():
        return line
    words = (folder / f"printed-{number}").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    reason = words[-1][:300] if words else f"its process ended with {process.wait()} and without a word"
    raise MarinaError(f"{archive.name} does not work: {reason}")
