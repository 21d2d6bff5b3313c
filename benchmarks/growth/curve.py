"""A curve: what was measured at each point, how fast it grows, and its picture and table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

COLOURS = ("#0b6e4f", "#c0392b", "#3b5b92", "#8a6d00")
mpl.rcParams.update({"svg.hashsalt": "marina", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9})


@dataclass(frozen=True)
class Curve:
    """Figures over one quantity.

    Attributes:
        name: by which it is measured again.
        over: the quantity, with its unit.
        xs: its values.
        figures: what was measured at each of them, by name and unit; NaN where it was not.
        measured: date and machine.
        notes: what else is to be known.
    """

    name: str
    over: str
    xs: Sequence[float]
    figures: Mapping[str, Sequence[float]]
    measured: str
    notes: str = ""

    def exponent(self, figure: str) -> float:
        """The slope of a figure over the quantity, both as logarithms: 1 where it grows as its work does."""
        points = [(x, y) for x, y in zip(self.xs, self.figures[figure], strict=True) if x > 0 and y > 0 and math.isfinite(y)]
        if len(points) < 2:
            return float("nan")
        xs, ys = np.log(np.array(points)).T
        return float(np.polyfit(xs, ys, 1)[0])

    def table(self) -> str:
        """As a table in Markdown; its last row says how fast each figure grows."""
        heads = [self.over, *self.figures]
        rows = [[f"{x:g}", *(f"{values[at]:.4g}" for values in self.figures.values())] for at, x in enumerate(self.xs)]
        slopes = ["grows by the power", *(f"{self.exponent(name):.2f}" for name in self.figures)]
        return "\n".join("| " + " | ".join(row) + " |" for row in (heads, ["---"] * len(heads), *rows, slopes))

    def draw(self, folder: Path) -> Path:
        """Write its picture: one panel a figure, over a logarithmic axis."""
        figure = Figure(figsize=(3.4 * len(self.figures), 2.6), layout="constrained")
        panels = figure.subplots(1, len(self.figures), squeeze=False)[0]
        for number, (name, values) in enumerate(self.figures.items()):
            axes = panels[number]
            axes.plot(self.xs, values, marker="o", markersize=3, color=COLOURS[number % len(COLOURS)])
            axes.set(xlabel=self.over, ylabel=name, xscale="log", ylim=(0, None))
            axes.spines[["top", "right"]].set_visible(False)
        path = folder / f"growth-{self.name}.svg"
        figure.savefig(path, metadata={"Date": None, "Creator": None})
        return path
