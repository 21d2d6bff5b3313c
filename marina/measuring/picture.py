"""A curve as a picture: what was answered and how soon, over the rate or over connections."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from marina.comparing.report_charts import Colours
from marina.errors import UsageError
from marina.measuring.curve import Curve

FORMS = (".png", ".svg", ".pdf")
LINES = {99: 1.0, 90: 0.7, 50: 0.45}  # percentiles, and how strong they are drawn
COLOURS = Colours()
SIZE = (10.0, 4.4)  # inches
DOTS = 150
NAMED = 8  # loads that are all written below the picture; of more, round numbers
APART = 0.055  # of the height, between the names of two lines


def checked_picture(to: Path) -> Path:
    """A name that a picture can be written to.

    Raises:
        UsageError: it is no picture's, or its folder is not there.
    """
    if to.suffix not in FORMS:
        raise UsageError(f"--picture {to}: required a name that ends in {', '.join(FORMS)}")
    if not to.parent.is_dir():
        raise UsageError(f"--picture {to}: {to.parent} is no folder")
    if to.is_dir() or not os.access(to if to.exists() else to.parent, os.W_OK):
        raise UsageError(f"--picture {to}: cannot be written")
    return to


def draw(curve: Curve, title: str, to: Path) -> None:
    """Write a curve's picture.

    Raises:
        OSError: it cannot be written.
    """
    drawn(curve, title).savefig(to, dpi=DOTS)


def drawn(curve: Curve, title: str) -> Figure:
    """A curve's picture: what was answered on the left, how soon on the right."""
    figure = Figure(figsize=SIZE, layout="constrained")
    left, right = figure.subplots(1, 2)
    _dress(left, curve, "good answers a second")
    _throughput(left, curve)
    _dress(right, curve, "milliseconds until the answer")
    _latency(right, curve)
    figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold", color=COLOURS.ink)
    return figure


def _throughput(axes: Axes, curve: Curve) -> None:
    if curve.is_open:
        axes.plot(curve.over, curve.over, color=COLOURS.faint, linestyle=(0, (2, 3)), linewidth=1)
        axes.text(1.01, curve.over[-1], "due", transform=axes.get_yaxis_transform(), va="center", fontsize=9, color=COLOURS.faint)
        axes.set_yscale("log")
        _round_numbers(axes)
    else:
        axes.set_ylim(0, 1.08 * max(one.throughput for one in curve.measurements))
    _line(axes, curve, [one.throughput for one in curve.measurements], COLOURS.arms[2], 1.0)


def _latency(axes: Axes, curve: Curve) -> None:
    axes.set_yscale("log")
    values = {p: [one.percentile(p) * 1000 for one in curve.measurements] for p in LINES}
    for p, strength in LINES.items():
        _line(axes, curve, values[p], COLOURS.arms[0], strength)
    axes.fill_between(curve.over, values[50], values[99], color=COLOURS.arms[0], alpha=0.08, linewidth=0)
    _round_numbers(axes)
    _name_lines(axes, {f"p{p}": line[-1] for p, line in values.items()})


def _line(axes: Axes, curve: Curve, values: Sequence[float], colour: str, strength: float) -> None:
    """A line through all points; those at which the server kept up are filled."""
    axes.plot(curve.over, values, color=colour, alpha=strength, linewidth=1 + strength)
    for over, value, one in zip(curve.over, values, curve.measurements, strict=True):
        inner = colour if one.kept_up else "white"
        axes.plot(over, value, marker="o", markersize=5, color=colour, markerfacecolor=inner, alpha=max(strength, 0.6))


def _name_lines(axes: Axes, ends: dict[str, float]) -> None:
    """Names beside the lines' ends, from the highest down, none upon another."""
    last = 2.0
    for name, value in ends.items():
        place = axes.transAxes.inverted().transform(axes.transData.transform((1, value)))[1]
        last = min(place, last - APART)
        axes.text(1.01, last, name, transform=axes.transAxes, va="center", fontsize=9, color=COLOURS.arms[0])


def _dress(axes: Axes, curve: Curve, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=10, color=COLOURS.faint)
    axes.set_xlabel("requests a second" if curve.is_open else "connections", color=COLOURS.faint)
    if len(curve.over) > 1:
        axes.set_xscale("log")
        room = (curve.over[-1] / curve.over[0]) ** 0.04
        axes.set_xlim(curve.over[0] / room, curve.over[-1] * room)
    axes.xaxis.set_major_locator(FixedLocator(curve.over) if len(curve.over) <= NAMED else LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.tick_params(which="both", colors=COLOURS.faint, length=0)
    axes.grid(color=COLOURS.grid, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)
    _shade_behind(axes, curve)


def _shade_behind(axes: Axes, curve: Curve) -> None:
    """The ground where less was answered than was due."""
    first = next((number for number, one in enumerate(curve.measurements) if not one.kept_up), None)
    if first is None:
        return
    left, right = axes.get_xlim()
    begin = (curve.over[first - 1] * curve.over[first]) ** 0.5 if first else left
    axes.axvspan(begin, right, color=COLOURS.event, alpha=0.07, linewidth=0)
    axes.text(begin, 1.0, " falls behind", transform=axes.get_xaxis_transform(), va="top", fontsize=9, color=COLOURS.event)


def _round_numbers(axes: Axes) -> None:
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
