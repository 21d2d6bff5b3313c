"""Measurements as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isnan

from rich.table import Table

from marina.measuring.comparing import CONFIDENCE, FIGURES, Ratio, Rounds, ratio
from marina.measuring.measurement import Measurement

SHOWN = (50, 90, 99, 100)
GREATER_IS_BETTER = {"throughput"}


def measurements_table(measurements: Sequence[Measurement]) -> Table:
    """One row a load."""
    table = Table(box=None, pad_edge=False)
    for head in ("rate/s", "connections", "answers/s", "p50 ms", "p90 ms", "p99 ms", "max ms", "sent", "failed", "generator"):
        table.add_column(head, justify="right")
    for one in measurements:
        rate = "closed" if one.rate is None else f"{one.rate:g}"
        latencies = [in_milliseconds(one.percentile(p)) for p in SHOWN]
        counts = (str(one.sent), str(one.failed), f"{one.generator_share:.0%}")
        table.add_row(rate, str(one.connections), f"{one.throughput:.4g}", *latencies, *counts)
    return table


def comparison_table(rounds: Rounds, first: str, second: str) -> Table:
    """One row a figure: both medians, how many times the first's the second's is, and the interval of that."""
    ratios = ratios_of(rounds, first, second)
    confidence = next(iter(ratios.values())).confidence
    table = Table("", first, second, "ratio", f"{confidence:.0%} interval", "", box=None, pad_edge=False)
    for name, found in ratios.items():
        figure = FIGURES[name]
        medians = [_written(name, median(rounds.figures(case, figure))) for case in (first, second)]
        table.add_row(
            _headed(name), *medians, f"{found.median:.3f}", f"{found.low:.3f} … {found.high:.3f}", _said(name, found, second)
        )
    return table


def ratios_of(rounds: Rounds, first: str, second: str) -> dict[str, Ratio]:
    """The second's figures in those of the first, by name."""
    return {name: ratio(rounds, second, first, name) for name in FIGURES}


def warnings_of(measurements: Iterable[Measurement]) -> list[str]:
    """Everything to be said of measurements, once, with an answer that was no good one."""
    said: dict[str, None] = {}
    examples: dict[str, str] = {}
    for one in measurements:
        for text in one.warnings:
            said[f"{one.load}: {text}"] = None
        for kind, example in one.answers.examples.items():
            examples.setdefault(kind, f"{kind}, for example: {' '.join(example.split())}")
    return [*said, *examples.values()]


def in_milliseconds(seconds: float) -> str:
    """Seconds as milliseconds, three digits of them or more; "-" where there are none."""
    value = seconds * 1000
    return "-" if isnan(value) else f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def median(values: list[float]) -> float:
    """The middle one."""
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def _headed(name: str) -> str:
    return "answers/s" if name in GREATER_IS_BETTER else f"{name} ms"


def _written(name: str, value: float) -> str:
    return f"{value:.4g}" if name in GREATER_IS_BETTER else in_milliseconds(value)


def _said(name: str, found: Ratio, second: str) -> str:
    if found.confidence < CONFIDENCE:
        return "too few rounds to say"
    if found.low <= 1 <= found.high:
        return "no difference seen"
    return f"{second} is {'better' if (found.low > 1) == (name in GREATER_IS_BETTER) else 'worse'}"
