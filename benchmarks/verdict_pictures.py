"""The pictures of docs/verdict.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from verdict_looks import judged, tested
from verdict_streams import Normal, Scenario

OURS, OTHER, THIRD = "#0b6e4f", "#c0392b", "#3b5b92"
mpl.rcParams.update({"svg.hashsalt": "marina", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9})


def draw(results: dict[str, Any], folder: Path) -> None:
    """Draw all of them."""
    _save(_alarms_over_time(results), folder / "verdict-alarms.svg")
    _save(_all_scenarios(results), folder / "verdict-scenarios.svg")
    _save(_power(results), folder / "verdict-power.svg")
    _save(_one_experiment(), folder / "verdict-experiment.svg")


def _alarms_over_time(results: dict[str, Any]) -> Figure:
    figure, axes = _axes(6.4, 2.8)
    first = results["nothing_there"][0]
    for method, colour in (("t-test each time", OTHER), ("judge", OURS)):
        requests, share = zip(*first["curve"][method], strict=True)
        axes.plot(requests, 100 * np.array(share), color=colour, label=method)
    axes.axhline(100 * results["alpha"], color="#777", linestyle=":", label="promised at most")
    axes.set(xlabel="requests so far, looked at after every 100", ylabel="experiments with an alarm, %", ylim=(0, None))
    axes.legend(frameon=False)
    return figure


def _all_scenarios(results: dict[str, Any]) -> Figure:
    figure, axes = _axes(6.8, 4.6)
    names = [one["name"] for one in results["nothing_there"]][::-1]
    for place, one in enumerate(results["nothing_there"][::-1]):
        for method, found in one["shares"].items():
            colour, shift = {"judge": (OURS, 0.0), "t-test each time": (OTHER, -0.15)}.get(method, (THIRD, 0.15))
            share, error = 100 * found["share"], 196 * found["error"]
            axes.errorbar(share, place + shift, xerr=error, fmt="o", color=colour, markersize=4, linewidth=1)
    axes.axvline(100 * results["alpha"], color="#777", linestyle=":")
    for label, colour in (("judge", OURS), ("t-test each time", OTHER), ("judge without keys, or without periods", THIRD)):
        axes.plot([], [], "o", color=colour, markersize=4, label=label)
    axes.set(yticks=range(len(names)), xlabel="experiments with an alarm though nothing is there, %", xlim=(-1, 101))
    axes.set_yticklabels(names)
    axes.legend(frameon=False, loc="lower right")
    return figure


def _power(results: dict[str, Any]) -> Figure:
    cases = results["something_there"]
    figure = Figure(figsize=(7.6, 2.6), layout="constrained")
    for place, (axes, one) in enumerate(zip(figure.subplots(1, len(cases)), cases, strict=True)):
        for method, colour, style in (("gbstats", THIRD, "--"), ("judge", OURS, "-")):
            if method in one["curve"]:
                requests, share = zip(*one["curve"][method], strict=True)
                axes.plot(requests, 100 * np.array(share), color=colour, linestyle=style, label=method)
        axes.plot([one["planned"]], [80], "s", color=OTHER, markersize=4, label="test at a planned end")
        axes.set_title(one["name"], fontsize=9)
        axes.set(xlabel="requests", ylim=(0, 102))
        _plain(axes)
        if place == 0:
            axes.set_ylabel("found, %")
            axes.legend(frameon=False, fontsize=8)
    return figure


def _one_experiment() -> Figure:
    scenario = Scenario("one experiment", Normal(0.12), requests=6000)
    stream, looks = scenario.stream(3), np.arange(120, 6001, 60)
    figure, axes = _axes(6.4, 2.8)
    for name, said, colour in (("judge", judged(stream, looks), OURS), ("t-test each time", tested(stream, looks), OTHER)):
        axes.plot(looks, said.low, color=colour, linewidth=1, label=name)
        axes.plot(looks, said.high, color=colour, linewidth=1)
    axes.axhline(0.12, color="#777", linestyle=":", label="the truth")
    axes.axhline(0, color="#bbb", linewidth=0.8)
    axes.set(xlabel="requests so far", ylabel="difference", ylim=(-0.5, 0.7))
    axes.legend(frameon=False)
    return figure


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    _plain(axes)
    return figure, axes


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None, "Creator": None})
