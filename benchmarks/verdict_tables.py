"""The tables of docs/verdict.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

BEGIN, END = "<!-- study -->\n", "<!-- /study -->"


def tables(results: dict[str, Any]) -> str:
    """What came out, in Markdown."""
    parts = (part(results) for part in (_alarms, _power, _unequal, _fairly, _ratio))
    return "\n".join(line for part in parts for line in (*part, ""))


def update(document: Path, results: dict[str, Any]) -> None:
    """Write the tables into a document, between its marks."""
    before, _, rest = document.read_text().partition(BEGIN)
    document.write_text(before + BEGIN + tables(results) + END + rest.partition(END)[2])


def _alarms(results: dict[str, Any]) -> list[str]:
    lines = ["| both arms are the same | judge | t-test each time | judge otherwise |", "|---|---|---|---|"]
    for one in (*results["nothing_there"], results["early"]):
        shares = dict(one["shares"])
        judge, test = (_percent(shares.pop(method)) for method in ("judge", "t-test each time"))
        wrong = "; ".join(f"{_percent(share)}, {name.removeprefix('judge, ')}" for name, share in shares.items())
        lines.append(f"| {one['name']} | {judge} | {test} | {wrong} |")
    return lines


def _power(results: dict[str, Any]) -> list[str]:
    lines = ["| a difference is there | requests of a test planned for 80 % | judge's mean | gbstats' mean | judge / gbstats |"]
    lines.append("|---|---|---|---|---|")
    for one in results["something_there"]:
        mean = one["mean"]
        ratio = mean["judge"] / mean["gbstats"]
        lines.append(f"| {one['name']} | {one['planned']:,} | {mean['judge']:,.0f} | {mean['gbstats']:,.0f} | {ratio:.3f} |")
    return lines


def _unequal(results: dict[str, Any]) -> list[str]:
    lines = ["| 90/10 | judge | gbstats |", "|---|---|---|"]
    for one in results["unequal"]:
        if one["truth"]:
            said = [f"found after {mean:,.0f} requests" for mean in one["mean"].values()]
        else:
            said = [f"alarms {_percent(share)}" for share in one["found"].values()]
        lines.append(f"| {one['name']} | {' | '.join(said)} |")
    return lines


def _fairly(results: dict[str, Any]) -> list[str]:
    fairly = results["fairly"]
    names = {"judge": "judge", "gbstats": "gbstats", "exact": "exact test of the events' arms"}
    lines = [f"| 90/10 | asked for | {fairly['still']}: alarms | {fairly['moved']}: found after |", "|---|---|---|---|"]
    for method, name in names.items():
        one = fairly[method]
        lines.append(f"| {name} | {one['alpha']:.0%} | {_percent(one['alarms'])} | {one['mean']:,.0f} requests |")
    return lines


def _ratio(results: dict[str, Any]) -> list[str]:
    lines = ["| keys against the split | alarms within 20,000 keys | keys until half of them have one |", "|---|---|---|"]
    for name, case in results["ratio"]["cases"].items():
        keys = f"{case['median_keys']:,}" if case["median_keys"] else ""
        lines.append(f"| {name} | {_percent(case['alarms'])} | {keys} |")
    return lines


def _percent(share: dict[str, float]) -> str:
    return f"{share['share']:.1%} ± {share['error']:.1%}"
