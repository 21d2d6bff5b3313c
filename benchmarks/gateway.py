"""What the gateway adds to a request: asked by it and without it in turn, over two connections that are kept."""

from __future__ import annotations

import argparse
import http.client
import statistics
import sys
import time
from pathlib import Path

from running import served_on_ports

from marina import paths
from marina.console import out, run, step
from marina.paths import Store

SAMPLE = paths.SPECS / "digits" / "seven.png"
WARM = 200


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--store", type=Path, default=Store().folder, help="folder of archives/ and index.json (%(default)s)")
    options.add_argument("--requests", type=int, default=2000, help="pairs in a round (%(default)s)")
    options.add_argument("--rounds", type=int, default=5, help="(%(default)s)")
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: _measure(parser().parse_args(argv)))


def _measure(options: argparse.Namespace) -> int:
    split = {"weights": {"1.0": 100.0}}
    digits = {"default": "1.0", "versions": {"1.0": {"workers": 1, "max_batch_delay_ms": 1}}, "split": split}
    with served_on_ports({"models": {"digits": digits}}, options.store) as ports:
        direct, through = (http.client.HTTPConnection("127.0.0.1", port) for port in (ports.inference_port, ports.gateway_port))
        _round(direct, through, WARM)
        rows = []
        for number in range(options.rounds):
            step(f"round {number + 1} of {options.rounds}")
            rows.append(_figures(_round(direct, through, options.requests)))
    out.print(
        "| round | direct p50, ms | gateway p50, ms | median of the pairs' differences, ms | direct p99, ms | gateway p99, ms |"
    )
    out.print("|---|---|---|---|---|---|")
    for number, row in enumerate(rows, 1):
        out.print(f"| {number} | " + " | ".join(f"{figure:.2f}" for figure in row) + " |")
    out.print("| median | " + " | ".join(f"{statistics.median(column):.2f}" for column in zip(*rows, strict=True)) + " |")
    return 0


def _round(direct: http.client.HTTPConnection, through: http.client.HTTPConnection, pairs: int) -> list[tuple[float, float]]:
    """Milliseconds of each pair; who goes first changes from pair to pair."""
    content, found = SAMPLE.read_bytes(), []
    for number in range(pairs):
        both = [direct, through] if number % 2 else [through, direct]
        taken = {one: _ask(one, content) for one in both}
        found.append((taken[direct], taken[through]))
    return found


def _ask(connection: http.client.HTTPConnection, content: bytes) -> float:
    started = time.perf_counter()
    connection.request("POST", "/predictions/digits", content)
    answer = connection.getresponse()
    answer.read()
    assert answer.status == http.client.OK  # noqa: S101 - a benchmark of errors would be none
    return (time.perf_counter() - started) * 1000


def _figures(pairs: list[tuple[float, float]]) -> list[float]:
    direct, through = (sorted(column) for column in zip(*pairs, strict=True))
    last = int(len(pairs) * 0.99)
    difference = statistics.median(second - first for first, second in pairs)
    return [statistics.median(direct), statistics.median(through), difference, direct[last], through[last]]


if __name__ == "__main__":
    sys.exit(main())
