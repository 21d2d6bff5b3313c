"""How far two answers to one request are apart, and the table of docs/tasks.md that says so."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from handlerkit.runtimes import RUNTIMES
from task_table import NETWORKS, Network

from marina import paths

DOCUMENT = paths.ROOT / "docs" / "tasks.md"
BEGIN, END = "<!-- measured by make cells -->\n", "<!-- end of what was measured -->\n"
NO = "no"
Table = Mapping[str, Mapping[str, str]]
FIGURES = re.compile(r"^(script )?(0|1e-?\d+)(?: / (0|1e-?\d+))?$")


@dataclass(frozen=True)
class Figure:
    """The largest differences of a cell from the eager one: of the network's outputs, and of the answers served.

    ``answers`` is None for the eager cell, which is what the others are compared with.
    """

    network: float
    answers: float | None = None

    def __str__(self) -> str:
        answers = "" if self.answers is None else f" / {bound(self.answers)}"
        return f"{bound(self.network)}{answers}"


def difference(one: Any, other: Any) -> float:
    """The largest difference of two numbers in two answers; infinite where anything else differs.

    Classes and boxes are compared with those of the same class, whatever their order: of two that are equally probable
    either may come first. Masks differ by the share of their pixels, and by their first class.
    """
    if type(one) is not type(other):
        return math.inf
    if isinstance(one, dict):
        return _of_objects(one, other)
    if isinstance(one, list):
        return _of_pairs(_sorted(one), _sorted(other))
    if isinstance(one, np.ndarray):
        return float((one != other).mean()) if one.shape == other.shape else math.inf
    if isinstance(one, float):
        return float(f"{abs(one - other):.3g}")
    return 0.0 if one == other else math.inf


def bound(value: float) -> str:
    """The power of ten that a value does not exceed: what is left of a difference from one machine to the next."""
    return f"1e{math.ceil(math.log10(value))}" if value else "0"


def as_table(standing: Table, measured: Mapping[tuple[str, str], Figure] | None = None) -> str:
    """The table in Markdown, with the figures that were measured, and else with those that stand there."""
    lines = [["handler", "within", *(f"`{runtime}`" for runtime in RUNTIMES)]]
    lines.append(["---"] * len(lines[0]))
    for network in NETWORKS:
        before = standing.get(network.name, {})
        cells = [_cell(network, runtime, (measured or {}).get((str(network), runtime)), before) for runtime in RUNTIMES]
        lines.append([network.name, within(network), *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def within(network: Network) -> str:
    """A line's tolerances: of the network's outputs, and of the answers."""
    return f"{network.spec.tolerance:.0e} / {network.answers:.0e}".replace("e-0", "e-")


def read_table(document: Path = DOCUMENT) -> Table:
    """The cells of the document's table by a line's first cell and the column's name."""
    head, _, *lines = [line.strip("|\n ").split(" | ") for line in table_text(document).splitlines()]
    return {line[0]: dict(zip([one.strip("`") for one in head[1:]], line[1:], strict=True)) for line in lines}


def table_text(document: Path = DOCUMENT) -> str:
    """The document's table, as it stands there."""
    return document.read_text().partition(BEGIN)[2].partition(END)[0]


def write_table(table: str, document: Path = DOCUMENT) -> None:
    """Put a table in the place of the document's."""
    before, _, rest = document.read_text().partition(BEGIN)
    document.write_text(before + BEGIN + table + END + rest.partition(END)[2])


def _cell(network: Network, runtime: str, figure: Figure | None, before: Mapping[str, str]) -> str:
    if runtime in network.refused:
        return NO
    scripted = network.scripted and runtime == "torchscript"
    return f"{'script ' * scripted}{figure}" if figure else before.get(runtime, "not measured")


def _of_objects(one: dict[str, Any], other: dict[str, Any]) -> float:
    if one.keys() != other.keys():
        return math.inf
    if "mask" in one:
        one, other = _essence(one), _essence(other)
    return _of_pairs([*one.values()], [other[name] for name in one])


def _of_pairs(ones: list[Any], others: list[Any]) -> float:
    if len(ones) != len(others):
        return math.inf
    return max((difference(*pair) for pair in zip(ones, others, strict=True)), default=0.0)


def _sorted(values: list[Any]) -> list[Any]:
    if values and all(isinstance(one, dict) and "index" in one for one in values):
        return sorted(values, key=lambda one: one["index"])
    return values


def _essence(answer: dict[str, Any]) -> dict[str, Any]:
    """The pixels of a mask, and its first class; what is told of the others is counted from the pixels."""
    pixels = np.repeat(answer["mask"]["values"], answer["mask"]["lengths"])
    first = [{name: one[name] for name in ("label", "probability", "index")} for one in answer["classes"][:1]]
    return {"size": answer["size"], "pixels": pixels, "first": first}
