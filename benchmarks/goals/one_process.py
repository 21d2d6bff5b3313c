"""What this machine could do without a server: an archive's own decoding and network, in one process, as fast as they go.

Called with a way, an unpacked archive, a picture, the rows of a batch and seconds; prints images a second. The ways:

    in-turn   all cores decode a batch, then all cores compute it
    beside    as many threads as cores, each of which decodes a batch and computes it by a network of its own
    network   the network alone, on all cores
    handle    the handler's whole answer to batches of one, in microseconds
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from handlerkit import Batch, Row

from marina import paths
from marina.store.preflight_worker import ask, load

WARM_UP_SECONDS = 1.0
ASKED = 200


def main(way: str, folder: Path, content: bytes, rows: int, seconds: float) -> None:
    """Print what the way reaches."""
    sys.path[:0] = [str(folder)]
    count = (os.cpu_count() or 1) if way == "beside" else 1
    services = [load(folder, str(paths.METRICS_CONFIG)) for _ in range(count)]
    if way == "handle":
        print(_microseconds(services[0], content))  # noqa: T201 - for the caller
        return
    handlers = [service._entry_point.__self__ for service in services]
    steps = [_alone(handler, content, rows) if way == "network" else _step(handler, content, rows) for handler in handlers]
    _done(steps, WARM_UP_SECONDS)
    print(_done(steps, seconds) * rows / seconds)  # noqa: T201 - for the caller


def _step(handler: Any, content: bytes, rows: int) -> Callable[[], Any]:
    return lambda: handler.inference(handler.preprocess(_batch(content, rows)))


def _alone(handler: Any, content: bytes, rows: int) -> Callable[[], Any]:
    inputs = handler.preprocess(_batch(content, rows))
    return lambda: handler.inference(inputs)


def _batch(content: bytes, rows: int) -> Batch:
    return Batch(Row({"body": content}, str(number)) for number in range(rows))


def _done(steps: list[Callable[[], Any]], seconds: float) -> int:
    """How many steps are done within the time, each again and again in a thread of its own."""
    end, counts = time.perf_counter() + seconds, [0] * len(steps)

    def go_on(number: int) -> None:
        while time.perf_counter() < end:
            steps[number]()
            counts[number] += 1

    threads = [threading.Thread(target=go_on, args=(number,)) for number in range(len(steps))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts)


def _microseconds(service: Any, content: bytes) -> float:
    """The median time that a batch of one takes in the handler."""
    times = []
    for _ in range(2 * ASKED):
        began = time.perf_counter()
        ask(service, [content])
        times.append(time.perf_counter() - began)
    return sorted(times[ASKED:])[ASKED // 2] * 1e6


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]).read_bytes(), int(sys.argv[4]), float(sys.argv[5]))
