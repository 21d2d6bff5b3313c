"""Simulate the judge until trusted: false alarms, power, what goes wrong otherwise; draws the pictures of docs/verdict.md."""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import verdict_pictures as pictures
from verdict_looks import (
    ALPHA,
    FEW,
    arms_of_events,
    by_request,
    judged,
    judged_for,
    looks_at,
    planned_requests,
    pooled,
    tested,
    totals,
)
from verdict_streams import EARLY, NOTHING_THERE, SOMETHING_THERE, UNEQUAL, Scenario
from verdict_tables import tables, update

from marina.comparing.sample_ratio import ALPHA as RATIO_ALPHA
from marina.comparing.sample_ratio import sample_ratio
from marina.console import out, run, step
from marina.errors import UsageError
from marina.paths import ROOT

RESULTS = ROOT / "benchmarks" / "verdict_results.json"
DOCUMENT = ROOT / "docs" / "verdict.md"
PICTURES = ROOT / "docs" / "pictures"
CROWDED = ("1,000 keys, each with its taste", "3,000 keys, few of them heavy")
CHANGING = ("a rollout, 1 to 50 %, while values rise", "weights to and fro, while values rise")
FAIRLY = (UNEQUAL[0], UNEQUAL[3])
LEVELS = {  # shares of false alarms that a method is asked for
    "judge": (ALPHA, 0.1, 0.15, 0.2, 0.22, 0.24, 0.25, 0.26, 0.27, 0.28, 0.29, 0.3, 0.32, 0.35, 0.4),
    "gbstats": (0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.045, ALPHA),
}
AT_ONCE = 50  # experiments that a process takes


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--experiments", type=int, help="of each kind (1,000; 2,000 of the first)")
    options.add_argument(
        "--gbstats", type=Path, metavar="PYTHON", help="a Python that has gbstats 0.8.0, without which docs/verdict.md stays"
    )
    options.add_argument("--processes", type=int, default=2, help="that share the work (%(default)s)")
    options.add_argument("--out", type=Path, default=None, help="folder for results and pictures (where the docs have them)")
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the study; returns the exit code."""
    return run(lambda: _study(parser().parse_args(argv)))


def _study(options: argparse.Namespace) -> int:
    if options.gbstats and not options.gbstats.is_file():
        raise UsageError(f"--gbstats {options.gbstats}: no such file")
    with ProcessPoolExecutor(options.processes) as pool:
        study = Study(pool, options.experiments)
        results = {
            "alpha": ALPHA,
            "nothing_there": [study.false_alarms(scenario) for scenario in NOTHING_THERE],
            "something_there": [study.power(scenario, options.gbstats) for scenario in SOMETHING_THERE],
            "unequal": [study.unequal(scenario, options.gbstats) for scenario in UNEQUAL if options.gbstats],
            "fairly": study.fairly(*FAIRLY, options.gbstats) if options.gbstats else None,
            "early": study.early(),
            "ratio": study.ratio(),
        }
    folder = options.out or PICTURES
    folder.mkdir(parents=True, exist_ok=True)
    (options.out / RESULTS.name if options.out else RESULTS).write_text(json.dumps(results) + "\n")
    pictures.draw(results, folder)
    if options.gbstats:
        out.print(tables(results), markup=False)
        if not options.out:
            update(DOCUMENT, results)
    return 0


class Study:
    """Simulations, shared by processes."""

    def __init__(self, pool: ProcessPoolExecutor, experiments: int | None = None) -> None:
        self._pool, self._experiments = pool, experiments

    def false_alarms(self, scenario: Scenario) -> dict[str, Any]:
        """How often each method finds, at any look, a difference that is not there."""
        step(f"nothing there: {scenario.name}")
        found = self._all(partial(_alarms, scenario), scenario)
        shares = {method: _share([one[method] for one in found]) for method in found[0]}
        told = {"name": scenario.name, "experiments": len(found), "requests": scenario.requests, "shares": shares}
        if scenario is NOTHING_THERE[0]:
            told["curve"] = {method: _curve([one[method] for one in found], scenario) for method in shares}
        return told

    def power(self, scenario: Scenario, gbstats: Path | None) -> dict[str, Any]:
        """How soon a difference is found that is there, and how often the interval leaves the truth out."""
        step(f"something there: {scenario.name}")
        found = self._all(partial(_stops, scenario), scenario)
        stops = {"judge": [one["judge"] for one in found]}
        if gbstats:
            stops["gbstats"] = _ask_gbstats(gbstats, np.stack([one["totals"] for one in found]))[ALPHA]
        return {
            "name": scenario.name,
            "experiments": len(found),
            "requests": scenario.requests,
            "planned": planned_requests(scenario),
            "wrong": _share([one["wrong"] for one in found]),
            "mean": {method: _mean_requests(firsts, scenario) for method, firsts in stops.items()},
            "found_by_planned": {method: _by(firsts, scenario, planned_requests(scenario)) for method, firsts in stops.items()},
            "found": {method: _share(firsts) for method, firsts in stops.items()},
            "curve": {method: _curve(firsts, scenario) for method, firsts in stops.items()},
        }

    def unequal(self, scenario: Scenario, gbstats: Path) -> dict[str, Any]:
        """What a small arm does to gbstats, whose spread of it is its own, and to the judge, which is careful."""
        step(f"90/10: {scenario.name}")
        found = self._all(partial(_stops, scenario), scenario)
        stops = {"judge": [one["judge"] for one in found]}
        stops["gbstats"] = _ask_gbstats(gbstats, np.stack([one["totals"] for one in found]))[ALPHA]
        return {
            "name": scenario.name,
            "truth": scenario.truth,
            "experiments": len(found),
            "found": {method: _share(firsts) for method, firsts in stops.items()},
            "mean": {method: _mean_requests(firsts, scenario) for method, firsts in stops.items()},
        }

    def fairly(self, still: Scenario, moved: Scenario, gbstats: Path) -> dict[str, Any]:
        """How soon each method finds a difference, asked for as much as makes it raise alarms in ALPHA of those without one.

        Beside them a test that is exact, and asked for ALPHA.
        """
        step(f"as many alarms: {still.name}, {moved.name}")
        firsts = [self._firsts(scenario, gbstats) for scenario in (still, moved)]
        told: dict[str, Any] = {"still": still.name, "moved": moved.name, "experiments": len(firsts[0]["exact"][ALPHA])}
        for method, by_alpha in firsts[0].items():
            kept = [alpha for alpha, found in by_alpha.items() if _share(found)["share"] <= ALPHA]
            alpha = max(kept, default=min(by_alpha))
            mean = _mean_requests(firsts[1][method][alpha], moved)
            told[method] = {"alpha": alpha, "alarms": _share(by_alpha[alpha]), "mean": mean}
        return told

    def _firsts(self, scenario: Scenario, gbstats: Path) -> dict[str, dict[float, list[int | None]]]:
        found = self._all(partial(_firsts, scenario), scenario)
        return {
            "judge": {alpha: [one["judge"][alpha] for one in found] for alpha in LEVELS["judge"]},
            "gbstats": _ask_gbstats(gbstats, np.stack([one["totals"] for one in found]), LEVELS["gbstats"]),
            "exact": {ALPHA: [one["exact"] for one in found]},
        }

    def early(self) -> dict[str, Any]:
        """What looking from the first keys on costs."""
        step(EARLY.name)
        found = self._all(partial(_early, EARLY), EARLY)
        return {"name": EARLY.name, "shares": {method: _share([one[method] for one in found]) for method in found[0]}}

    def ratio(self) -> dict[str, Any]:
        """How often the count of keys gives a wrong alarm, and how soon a right one."""
        step("keys counted against the split")
        experiments = self._experiments or 1000
        cases = {
            "50/50 as it should be": (0.5, 0.5),
            "90/10 as it should be": (0.1, 0.1),
            "2 % of an arm's keys lost": (0.5, 0.495),
        }
        cases["10 % of an arm's keys lost"] = (0.5, 0.9 / 1.9)
        told = {}
        for name, (share, real) in cases.items():
            alarms = list(self._pool.map(partial(_ratio_alarm, share, real), range(experiments), chunksize=AT_ONCE))
            keys = sorted(alarm for alarm in alarms if alarm is not None)
            told[name] = {"alarms": _share(alarms), "median_keys": keys[len(keys) // 2] if len(keys) > experiments / 2 else None}
        return {"alpha": RATIO_ALPHA, "cases": told}

    def _all(self, measure: Any, scenario: Scenario) -> list[dict[str, Any]]:
        return list(self._pool.map(measure, range(self._experiments or scenario.experiments), chunksize=AT_ONCE))


def _alarms(scenario: Scenario, number: int) -> dict[str, int | None]:
    stream, looks = scenario.stream(number), looks_at(scenario)
    found = {
        "judge": judged(stream, looks, until=0.0).first_without(0),
        "t-test each time": tested(stream, looks).first_without(0),
    }
    if scenario.name in CROWDED:
        found["judge, each request a key"] = judged(by_request(stream), looks, until=0.0).first_without(0)
    if scenario.name in CHANGING:
        found["judge, the change ignored"] = judged(pooled(stream), looks, until=0.0).first_without(0)
    return found


def _stops(scenario: Scenario, number: int) -> dict[str, Any]:
    stream, looks = scenario.stream(number), looks_at(scenario)
    said = judged(stream, looks, until=0.0)
    return {"judge": said.first_without(0), "wrong": said.first_without(scenario.truth), "totals": totals(stream, looks)}


def _firsts(scenario: Scenario, number: int) -> dict[str, Any]:
    stream, looks = scenario.stream(number), looks_at(scenario)
    exact = arms_of_events(stream, looks, 100 * scenario.shares[0])
    return {"judge": judged_for(stream, looks, LEVELS["judge"]), "exact": exact, "totals": totals(stream, looks)}


def _early(scenario: Scenario, number: int) -> dict[str, int | None]:
    stream, looks = scenario.stream(number), looks_at(scenario)
    return {
        "judge": judged(stream, looks, until=0.0).first_without(0),
        f"judge, from {FEW} keys on": judged(stream, looks, keys=FEW, until=0.0).first_without(0),
        "t-test each time": tested(stream, looks).first_without(0),
    }


def _ratio_alarm(share: float, real: float, number: int) -> int | None:
    """Keys after which the count was found wrong, looked at after every 1,000 of 20,000."""
    random = np.random.default_rng([number, int(1e6 * real)])
    assigned = np.where(random.random(20_000) < real, "2.0", "1.0")
    split = [{"1.0": 100 * (1 - share), "2.0": 100 * share}]
    for keys in range(1000, 20_001, 1000):
        if not sample_ratio(np.arange(keys), assigned[:keys], np.zeros(keys, np.int64), split).right:
            return keys
    return None


def _ask_gbstats(python: Path, looked: np.ndarray[Any, Any], alphas: Sequence[float] = (ALPHA,)) -> dict[float, list[int | None]]:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "totals.npz", Path(folder) / "first.npz"
        np.savez(source, totals=looked, alphas=alphas)
        subprocess.run([python, ROOT / "benchmarks" / "verdict_gbstats.py", source, target], check=True)
        found = np.load(target)["first"]
    return {alpha: [int(first) if first >= 0 else None for first in one] for alpha, one in zip(alphas, found, strict=True)}


def _share(firsts: list[int | None]) -> dict[str, float]:
    """Of the experiments that ended so, with the standard error of the simulation."""
    share = sum(first is not None for first in firsts) / len(firsts)
    return {"share": round(share, 5), "error": round(math.sqrt(max(share, 1 / len(firsts)) * (1 - share) / len(firsts)), 5)}


def _by(firsts: list[int | None], scenario: Scenario, requests: int) -> float:
    return round(sum(first is not None and (first + 1) * scenario.step <= requests for first in firsts) / len(firsts), 4)


def _mean_requests(firsts: list[int | None], scenario: Scenario) -> float:
    """Requests until it was found, or all of them."""
    return float(np.mean([scenario.requests if first is None else (first + 1) * scenario.step for first in firsts]))


def _curve(firsts: list[int | None], scenario: Scenario, points: int = 50) -> list[tuple[int, float]]:
    """The share that was found by so many requests."""
    at = np.linspace(scenario.step, scenario.requests, points).astype(int)
    return [(int(requests), _by(firsts, scenario, requests)) for requests in at]


if __name__ == "__main__":
    sys.exit(main())
