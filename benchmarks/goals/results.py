"""What was measured of a goal, kept in ``results/goals.json``, and the tables of the README that are made of it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from marina import paths
from marina.errors import MarinaError

RESULTS = paths.ROOT / "benchmarks" / "results" / "goals.json"
PAGE = paths.ROOT / "benchmarks" / "README.md"
BEGIN, END = "<!-- goals: written by make benchmark -->", "<!-- end of goals -->"
Better = Literal["higher", "lower"]
HEADS = ("goal", "unit", "ours", "other", "ratio (lowest – highest round)", "target", "rounds", "reached", "measured")


@dataclass(frozen=True)
class Result:
    """One goal, measured.

    Attributes:
        goal: what is compared with what.
        group: the name by which it is measured again: ``make benchmark GOALS=<group>``.
        ours, other: medians over the rounds, in ``unit``.
        ratio: of ours to the other; the median of the rounds' ratios.
        better: whether a higher or a lower ratio is the better one.
        target: that the ratio must reach; None where it is only told.
        rounds: interleaved.
        low, high: the interval of the ratio.
        unit: of ours and of the other.
        ratios: of each round.
        detail: what else belongs to it: configurations, the load generator's share, failures.
        measured: date and machine.
        load_average: of the last minute when it was measured, our own work included; 0 of what is no time.
        busy: whether the machine had so much else to do that nothing is judged; threads that wait for each other lose most.
    """

    goal: str
    group: str
    ours: float
    other: float
    ratio: float
    better: Better
    target: float | None
    rounds: int
    low: float | None = None
    high: float | None = None
    unit: str = ""
    ratios: list[float] = field(default_factory=list)
    detail: dict[str, Any] = field(default_factory=dict)
    measured: str = ""
    load_average: float = 0.0
    busy: bool = False

    @property
    def reached(self) -> bool | None:
        """Whether the target is; None where there is none, and where the machine was too busy to say."""
        if self.target is None or self.busy:
            return None
        return self.ratio >= self.target if self.better == "higher" else self.ratio <= self.target


def read_results(path: Path = RESULTS) -> list[Result]:
    """What was measured so far; nothing where nothing was.

    Raises:
        MarinaError: the file is not one of ours.
    """
    if not path.exists():
        return []
    try:
        return [Result(**one) for one in json.loads(path.read_text())]
    except (ValueError, TypeError) as error:
        raise MarinaError(f"{path}: not what make benchmark writes ({error}): remove it, and measure again") from error


def keep(measured: Sequence[Result], path: Path, order: Sequence[str]) -> list[Result]:
    """Put what was measured in place of what the same groups had before; the groups stay in their order."""
    groups = {one.group for one in measured}
    kept = [one for one in read_results(path) if one.group not in groups and one.group in order]
    together = sorted([*kept, *measured], key=lambda one: order.index(one.group))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps([_rounded(asdict(one)) for one in together], indent=1) + "\n")
    partial.replace(path)
    return read_results(path)  # rounded, as whoever reads the file has them


def write_page(results: Sequence[Result], page: Path = PAGE) -> None:
    """Put the table of all goals between the page's markers; raises as ``between`` does."""
    between(page, (BEGIN, END), table(results))


def between(page: Path, markers: tuple[str, str], text: str) -> None:
    """Put a text between two lines of a page.

    Raises:
        MarinaError: the page has not both of them.
    """
    begin, end = markers
    before = page.read_text()
    if begin not in before or end not in before:
        raise MarinaError(f"{page}: the lines '{begin}' and '{end}' are required, between which the results go")
    place = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    page.write_text(place.sub(lambda _: f"{begin}\n{text}\n{end}", before))


def table(results: Sequence[Result]) -> str:
    """All goals as a table in Markdown."""
    lines = [HEADS, ["---"] * len(HEADS), *map(_row, results)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _row(one: Result) -> list[str]:
    between = f" ({one.low:.3g} – {one.high:.3g})" if one.low is not None and one.high is not None else ""
    sign = "≥" if one.better == "higher" else "≤"
    target = f"{sign} {one.target:.4g}" if one.target is not None else "told"
    reached = "not judged: busy machine" if one.busy else {True: "yes", False: "**no**", None: ""}[one.reached]
    numbers = [f"{one.ours:.4g}", f"{one.other:.4g}", f"{one.ratio:.4g}{between}"]
    return [
        one.goal,
        one.unit,
        *numbers,
        target,
        str(one.rounds),
        reached,
        f"{one.measured.split(',')[0]}, load {one.load_average:.0f}",
    ]


def _rounded(value: Any) -> Any:
    """Six digits say all that was measured."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list) else value
