"""The charts of a report, drawn on matplotlib's axes in colours that a page may set anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle

from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from marina.comparing.observing import LATENCY
from marina.comparing.report import Report
from marina.comparing.verdict import Verdict

NUMBERED = 20  # events that are numbered in a chart; more would cover it
ADD_ROOM = 1.15


@dataclass(frozen=True)
class Colours:
    """What charts are drawn with; ``arms`` are told apart also by who does not tell red from green."""

    ink: str = "#1c2430"
    faint: str = "#667085"
    grid: str = "#d9dee7"
    event: str = "#9a3412"
    arms: tuple[str, ...] = ("#2460a7", "#c2570c", "#0f766e", "#7c3aed")

    def of(self, report: Report) -> dict[str, str]:
        """A colour for each arm."""
        return dict(zip((arm.version for arm in report.arms), cycle(self.arms), strict=False))


@dataclass(frozen=True)
class Chart:
    """One chart.

    Attributes:
        title: of it, in words.
        told: what it shows, for who does not see it.
        draw: puts it on axes.
    """

    title: str
    told: str
    draw: Callable[[Axes, Colours], None]


def charts(report: Report) -> Iterator[Chart]:
    """All that there is something to show in."""
    for verdict in report.verdicts:
        if len(verdict.over_time) > 1:
            yield _effect(report, verdict)
    if any(arm.latency for arm in report.arms):
        yield _latencies(report)
    yield _split(report)


def in_units(verdict: Verdict) -> tuple[float, str]:
    """What a metric's differences are multiplied by to be read, and the unit that they have then."""
    if verdict.question.metric == LATENCY:
        return 1000.0, "ms"
    return (100.0, "points") if verdict.binary else (1.0, "")


def _effect(report: Report, verdict: Verdict) -> Chart:
    arm, control = verdict.question.arm, verdict.question.control
    factor, unit = in_units(verdict)
    looks = verdict.over_time
    low, value, high = ([factor * getattr(look.difference, name) for look in looks] for name in ("low", "value", "high"))

    def draw(axes: Axes, colours: Colours) -> None:
        colour = colours.of(report)[arm]
        times = [_moment(look.time) for look in looks]
        if verdict.margin:
            margin = factor * verdict.margin
            axes.axhspan(-margin, margin, color=colours.grid, alpha=0.6, linewidth=0)
        axes.axhline(0, color=colours.ink, linewidth=1)
        axes.fill_between(times, low, high, color=colour, alpha=0.22, linewidth=0)
        axes.plot(times, value, color=colour, linewidth=2)
        settled = len(looks) // 6  # the first intervals are so wide that nothing else would be seen
        ends = [0.0, *low[settled:], *high[settled:]]
        axes.set_ylim(*_with_room(min(ends), max(ends)))
        axes.set_ylabel(unit)
        _time_axis(axes, report, colours)

    told = (
        f"Estimate {value[-1]:+.3g} {unit} at the end, interval {low[-1]:+.3g} to {high[-1]:+.3g}; at first it was "
        f"{low[0]:+.3g} to {high[0]:+.3g}."
    )
    return Chart(f"{verdict.question.metric}: {arm} less {control}", told.replace("  ", " ").replace(" -", " −"), draw)


def _latencies(report: Report) -> Chart:
    def draw(axes: Axes, colours: Colours) -> None:
        for arm in report.arms:
            if arm.latency is None:
                continue
            colour, total = colours.of(report)[arm.version], sum(arm.latency.counts) or 1
            shares = [100 * count / total for count in arm.latency.counts]
            axes.stairs(shares, arm.latency.edges, color=colour, fill=True, alpha=0.18, linewidth=0)
            axes.stairs(shares, arm.latency.edges, color=colour, linewidth=1.8, label=arm.version)
            axes.axvline(arm.latency.p99, color=colour, linewidth=1.2, linestyle=(0, (4, 3)))
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("milliseconds (dashed: 99 of 100 are faster)")
        axes.set_ylabel("% of requests")
        _legend(axes)

    known = [f"{arm.version}: p50 {arm.latency.p50:.1f}, p99 {arm.latency.p99:.1f} ms" for arm in report.arms if arm.latency]
    return Chart("How long requests took", "; ".join(known) + ".", draw)


def _split(report: Report) -> Chart:
    def draw(axes: Axes, colours: Colours) -> None:
        times = [_moment(at) for at in report.seen.times]
        for arm in report.arms:
            colour = colours.of(report)[arm.version]
            shares = [None if share is None else 100 * share for share in report.seen.shares.get(arm.version, [])]
            known = [(at, share) for at, share in zip(times, shares, strict=False) if share is not None]
            axes.plot(
                [at for at, _ in known],
                [share for _, share in known],
                ".",
                color=colour,
                markersize=5,
                label=arm.version,
            )
            steps = intended(report, arm.version)
            axes.step([_moment(at) for at, _ in steps], [share for _, share in steps], where="post", color=colour, linewidth=1.8)
        axes.set_ylim(-4, 104)
        axes.set_ylabel("% of keys")
        _legend(axes)
        _time_axis(axes, report, colours)

    seen = [
        f"{arm.version}: {arm.keys} keys" + (f", {arm.weight:g} % now" if arm.weight is not None else "") for arm in report.arms
    ]
    return Chart("The split: intended (lines) and seen (points)", "; ".join(seen) + ".", draw)


def intended(report: Report, version: str) -> list[tuple[float, float]]:
    """When which percentage of an arm began, from the begin of the report to its end."""
    before = [change for change in report.splits if change.time <= report.begin][-1:]
    after = [change for change in report.splits if report.begin < change.time <= report.end]
    steps = [(max(change.time, report.begin), change.weights.get(version, 0.0)) for change in [*before, *after]]
    return [*steps, (report.end, steps[-1][1])] if steps else []


def _time_axis(axes: Axes, report: Report, colours: Colours) -> None:
    """The time of the report in UTC, with its events."""
    axes.set_xlim(_moment(report.begin), _moment(max(report.end, report.begin + 1)))
    locator = AutoDateLocator(maxticks=7)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    for number, event in enumerate(report.events, 1):
        at = _moment(min(event.time, report.end))
        axes.axvline(at, color=colours.event, linewidth=1, linestyle=(0, (1, 2)))
        if len(report.events) <= NUMBERED:
            axes.annotate(
                str(number),
                (at, 1),
                xycoords=("data", "axes fraction"),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=9,
                color=colours.event,
            )


def _legend(axes: Axes) -> None:
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, 1.25), ncols=4, borderaxespad=0, handlelength=1.2)


def _with_room(low: float, high: float) -> tuple[float, float]:
    middle, half = (low + high) / 2, (high - low) / 2 * ADD_ROOM or 1.0
    return middle - half, middle + half


def _moment(at: float) -> float:
    """Matplotlib's number of a time."""
    return float(date2num(datetime.fromtimestamp(at, UTC)))
