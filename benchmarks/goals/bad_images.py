"""One bad image in a hundred: what it costs the good ones that were in its batch."""

from __future__ import annotations

from contextlib import ExitStack

from goals.bench import Bench, Compared, loads
from goals.best import INT8
from goals.pictures import photograph, with_one_bad
from goals.results import Result
from goals.torchserves import Serving
from marina.errors import MarinaError
from marina.measuring.measurement import Measurement

EVERY = 100
REFUSED = (415, 422)
STOCK = Serving(workers=1, batch_size=8, delay_ms=20, threads=2)  # so that batches are full


def bad_images(bench: Bench) -> list[Result]:
    """Ours, and the stock handler with batches of eight."""
    kept, sent = bench.kept, with_one_bad(photograph(bench.kept.pictures), EVERY)
    with ExitStack() as stack:
        ours = bench.serve(stack, "ours", INT8.archive(kept), INT8.serving)
        stock = bench.serve(stack, "stock", kept.stock("resnet18"), STOCK, shipped=True)
        rounds = bench.in_turns({"ours": bench.case(ours, sent), "stock": bench.case(stock, sent)})
    goal = Compared(
        "1 % bad images: good ones lost to batch-mates, stock at batch 8", "bad_images", 0.0, "lower", "share", timed=False
    )
    if any(one.sent < EVERY for one in rounds.measurements["stock"]):
        raise MarinaError(
            f"bad_images: the stock handler took less than {EVERY} requests in a round, no bad one among them: --seconds 20"
        )
    lost = {name: [_lost(one) for one in rounds.measurements[name]] for name in ("ours", "stock")}
    statuses = {name: [one.statuses for one in rounds.measurements[name]] for name in lost}
    return [goal.result(lost["ours"], lost["stock"], {"statuses": statuses} | loads(rounds, "ours", "stock"))]


def _lost(measured: Measurement) -> float:
    """Share of good images that had no good answer.

    A refusal of its own says which rows were bad; where all of a batch fail alike, one in EVERY of all sent was.
    """
    refused = sum(count for status, count in measured.statuses.items() if status in REFUSED)
    bad = refused or round(measured.sent / EVERY)
    good = measured.sent - bad
    return max(0.0, (measured.failed - bad) / good)
