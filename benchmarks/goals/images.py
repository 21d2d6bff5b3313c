"""Images a second and latencies, beside TorchServe's own image classifier: as it is shipped, and tuned."""

from __future__ import annotations

from contextlib import ExitStack

from goals.bench import Bench, Compared
from goals.best import BF16, INT8, LATENCY, SHIPPED, SMOKE
from goals.pictures import LARGE, LARGE_BYTES, photograph
from goals.results import Result
from goals.stock import tuned

RESNET = "ResNet-18, 65 KB JPEG, 16 connections"


def resnet18(bench: Bench) -> list[Result]:
    """Our int8 and bf16, the stock handler as shipped and as well tuned as it goes, in turns."""
    kept, settled = bench.kept, tuned(bench)
    picture = [photograph(kept.pictures)]
    with ExitStack() as stack:
        targets = {
            "int8": bench.serve(stack, "int8", INT8.archive(kept), INT8.serving),
            "bf16": bench.serve(stack, "bf16", BF16.archive(kept), BF16.serving),
            "shipped": bench.serve(stack, "shipped", kept.stock("resnet18"), SHIPPED, shipped=True),
            "tuned": bench.serve(stack, "tuned", kept.stock("resnet18"), settled, shipped=True),
        }
        rounds = bench.in_turns({name: bench.case(target, picture) for name, target in targets.items()})
    ours, theirs = {"ours": f"OpenVINO, {INT8.serving}"}, {"stock": str(settled)}
    group = "resnet18"
    return [
        Compared(f"{RESNET}: int8, stock as shipped", group, 6.0).of(rounds, "int8", "shipped", "throughput", ours),
        Compared(f"{RESNET}: int8, stock tuned", group, 4.0).of(rounds, "int8", "tuned", "throughput", ours | theirs),
        Compared(f"{RESNET}: bf16, stock as shipped", group, 3.5).of(rounds, "bf16", "shipped", "throughput"),
        Compared(f"{RESNET}: bf16, stock tuned", group, None).of(rounds, "bf16", "tuned", "throughput", theirs),
        Compared(f"{RESNET}: p99, int8, stock as shipped", group, 0.25, "lower", "s").of(rounds, "int8", "shipped", "p99"),
        Compared(f"{RESNET}: p99, bf16, stock as shipped", group, None, "lower", "s").of(rounds, "bf16", "shipped", "p99"),
    ]


def vgg16(bench: Bench) -> list[Result]:
    """VGG16, int8, beside the stock handler as shipped."""
    kept, picture = bench.kept, [photograph(bench.kept.pictures)]
    with ExitStack() as stack:
        ours = bench.serve(stack, "ours", INT8.archive(kept, "vgg16"), INT8.serving)
        shipped = bench.serve(stack, "shipped", kept.stock("vgg16"), SHIPPED, shipped=True)
        rounds = bench.in_turns({"int8": bench.case(ours, picture), "shipped": bench.case(shipped, picture)})
    goal = Compared("VGG16, 65 KB JPEG, 16 connections: int8, stock as shipped", "vgg16", 6.0)
    return [goal.of(rounds, "int8", "shipped", "throughput")]


def large(bench: Bench) -> list[Result]:
    """JPEG files as a camera makes them."""
    kept = bench.kept
    picture = [photograph(kept.pictures, LARGE, LARGE_BYTES)]
    with ExitStack() as stack:
        ours = bench.serve(stack, "ours", INT8.archive(kept), INT8.serving)
        shipped = bench.serve(stack, "shipped", kept.stock("resnet18"), SHIPPED, shipped=True)
        rounds = bench.in_turns({"int8": bench.case(ours, picture, 8), "shipped": bench.case(shipped, picture, 8)})
    goal = Compared("ResNet-18, 12-megapixel JPEG, 8 connections: int8, stock as shipped", "large", 8.0)
    return [goal.of(rounds, "int8", "shipped", "throughput", {"megabytes": len(picture[0]) / 1e6})]


def single(bench: Bench) -> list[Result]:
    """One caller that waits for each answer."""
    kept, picture, best = bench.kept, [photograph(bench.kept.pictures)], SMOKE if bench.smoke else LATENCY
    with ExitStack() as stack:
        ours = bench.serve(stack, "ours", best.archive(kept), best.serving)
        shipped = bench.serve(stack, "shipped", kept.stock("resnet18"), SHIPPED, shipped=True)
        rounds = bench.in_turns({"int8": bench.case(ours, picture, 1), "shipped": bench.case(shipped, picture, 1)})
    goal = Compared(f"ResNet-18, 65 KB JPEG, 1 connection: p50, {best.precision}, stock as shipped", "single", 0.5, "lower", "s")
    return [goal.of(rounds, "int8", "shipped", "p50", {"ours": str(best.serving)})]
