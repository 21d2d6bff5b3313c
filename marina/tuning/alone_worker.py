"""A worker's work without a server: run as a script, knows nothing of marina, loads an archive with TorchServe's own code.

Called with the unpacked archive's folder, the server's metrics.yaml, a folder of requests, batch sizes separated by commas, and
seconds. Says "ready" when it has loaded; for each line that it then reads it measures one batch size and writes the seconds of a
batch (median), so that several of them measure at the same time.
"""

from __future__ import annotations

import importlib.util
import itertools
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

PREFLIGHT = Path(__file__).parents[1] / "store" / "preflight_worker.py"
FEWEST = 3  # batches
WARM_UPS = 2


def main(folder: Path, metrics: str, requests: Path, batches: list[int], seconds: float) -> None:
    """Load, then measure as often as asked."""
    told, sys.stdout = sys.stdout, sys.stderr  # what a handler prints is none of our answers
    contents = [path.read_bytes() for path in sorted(requests.iterdir())]
    preflight = _by_path(PREFLIGHT)
    service = preflight.load(folder, metrics)
    print("ready", file=told, flush=True)
    for batch in batches:
        if not sys.stdin.readline():
            return
        print(seconds_of(partial(preflight.ask, service), contents, batch, seconds), file=told, flush=True)


def seconds_of(ask: Callable[[list[bytes]], list[dict[str, Any]]], contents: list[bytes], batch: int, seconds: float) -> float:
    """Seconds of a batch, median.

    Raises:
        ValueError: a request is not answered with 200.
    """
    rows = itertools.cycle(contents)
    taken: list[float] = []
    end = 0.0
    for number in itertools.count(-WARM_UPS):
        requests = list(itertools.islice(rows, batch))
        began = time.perf_counter()
        answers = ask(requests)
        if refused := [one for one in answers if one["status"] != 200]:
            raise ValueError(f"a request is answered with {refused[0]['status']}: {refused[0]['body'][:200]}")
        if number < 0:
            end = time.perf_counter() + seconds
            continue
        taken.append(time.perf_counter() - began)
        if time.perf_counter() >= end and len(taken) >= FEWEST:
            break
    return statistics.median(taken)


def _by_path(path: Path) -> Any:
    """A module that is in no folder of the path: the handler's own modules are looked for there."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None  # noqa: S101 - it is a Python file
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), list(map(int, sys.argv[4].split(","))), float(sys.argv[5]))
