"""What a worker takes: memory that no other process shares, and the time from registration until it answers."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from goals.bench import Bench, Compared, in_turns
from goals.best import INT8, SHIPPED
from goals.pictures import photograph
from goals.results import Result
from goals.targets import Target
from goals.torchserves import Server, Serving, torchserve
from marina.measuring.load import Load, measure

ASKED = Load(connections=4, seconds=2.0, warm_up_seconds=0.0)  # so that what is loaded late is counted
ONE = Serving(workers=1, batch_size=SHIPPED.batch_size, delay_ms=SHIPPED.delay_ms)


def memory(bench: Bench) -> list[Result]:
    """The unique set size of a worker that is added to one that runs, after it has answered."""
    kept, picture = bench.kept, photograph(bench.kept.pictures)
    with ExitStack() as stack:
        ours = stack.enter_context(torchserve(kept.store, bench.logs / "ours"))
        stock = stack.enter_context(torchserve(kept.store, bench.logs / "stock", shipped=True))
        served = {
            "ours": (ours, ours.register(INT8.archive(kept), INT8.serving)[0]),
            "stock": (stock, stock.register(kept.stock("resnet18"), ONE)[0]),
        }
        found = in_turns({name: partial(_of_one_more, *one, picture) for name, one in served.items()}, bench.rounds)
    goal = Compared(
        "private memory (USS) of one more worker: int8, stock image_classifier", "memory", 0.65, "lower", "MB", timed=False
    )
    return [goal.result(found["ours"], found["stock"])]


def ready(bench: Bench) -> list[Result]:
    """Seconds from the registration until the worker is READY: ours has answered its sample twice by then."""
    kept = bench.kept
    with ExitStack() as stack:
        ours = stack.enter_context(torchserve(kept.store, bench.logs / "ours"))
        stock = stack.enter_context(torchserve(kept.store, bench.logs / "stock", shipped=True))
        archives = {"ours": (ours, INT8.archive(kept), INT8.serving), "stock": (stock, kept.stock("resnet18"), ONE)}
        found = in_turns({name: partial(_until_ready, *one) for name, one in archives.items()}, bench.rounds)
    goal = Compared("register to READY, ours with warm-up: int8, stock image_classifier", "ready", 0.5, "lower", "s")
    return [goal.result(found["ours"], found["stock"])]


def _of_one_more(server: Server, target: Target, picture: bytes) -> float:
    """Megabytes of the second worker."""
    server.scale(1)
    first = {worker.pid for worker in server.workers()}
    server.scale(2)
    measure(target.address, [target.asking(picture)], ASKED)
    (second,) = (worker for worker in server.workers() if worker.pid not in first)
    return float(second.memory_full_info().uss) / 1e6


def _until_ready(server: Server, archive: str, serving: Serving) -> float:
    _, seconds = server.register(archive, serving)
    server.unregister()
    return seconds
