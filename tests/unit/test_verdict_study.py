"""The study of the judge: what is committed keeps what docs/verdict.md promises, and the study can be run again."""

from __future__ import annotations

import importlib
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from marina.paths import ROOT

FOLDER = ROOT / "benchmarks"
DOCUMENT = ROOT / "docs" / "verdict.md"


@pytest.fixture(scope="module")
def results() -> Any:
    """What the study found."""
    return json.loads((FOLDER / "verdict_results.json").read_text())


def test_alarms_stay_below_what_was_promised(results: Any) -> None:
    """In every kind of experiment without a difference, allowing for three standard errors of the simulation."""
    for one in (*results["nothing_there"], results["early"]):
        judge = one["shares"]["judge"]
        assert judge["share"] <= results["alpha"] + 3 * judge["error"], one["name"]
    first = results["nothing_there"][0]
    assert first["experiments"] == 2000
    assert first["shares"]["judge"]["share"] <= results["alpha"]
    assert first["shares"]["t-test each time"]["share"] > 4 * results["alpha"]


def test_what_goes_wrong_otherwise_does(results: Any) -> None:
    """Requests for keys, and weights whose change is ignored, raise alarms."""
    for one in results["nothing_there"]:
        for method, found in one["shares"].items():
            if method.startswith("judge, "):
                assert found["share"] > 2 * results["alpha"], (one["name"], method)


def test_it_needs_at_most_a_tenth_more_than_gbstats(results: Any) -> None:
    """The mean number of requests until a difference is found, on the same streams; and as many are found."""
    for one in results["something_there"]:
        assert one["mean"]["judge"] <= 1.1 * one["mean"]["gbstats"], one["name"]
        error = math.sqrt(2 * 0.25 / one["experiments"])
        assert one["found_by_planned"]["judge"] >= one["found_by_planned"]["gbstats"] - 3 * error, one["name"]
        assert one["wrong"]["share"] <= results["alpha"] + 3 * one["wrong"]["error"], one["name"]


def test_a_small_arm_is_judged_with_care(results: Any) -> None:
    """At 90/10 with rare or skewed values gbstats alarms more often than promised, the judge does not; worse is seen as soon."""
    still = [one for one in results["unequal"] if not one["truth"]]
    assert all(one["found"]["judge"]["share"] <= results["alpha"] for one in still)
    assert max(one["found"]["gbstats"]["share"] for one in still) > results["alpha"]
    worse = next(one for one in results["unequal"] if one["name"] == "1 % become 3 %")
    assert worse["mean"]["judge"] <= 1.1 * worse["mean"]["gbstats"]


def test_what_the_judge_is_later_by_is_alarms_that_it_does_not_raise(results: Any) -> None:
    """At 90/10, where 3 % become 1 %, gbstats takes half as many requests; at as many alarms hardly fewer."""
    fairly = results["fairly"]
    own = next(one["mean"] for one in results["unequal"] if one["name"] == fairly["moved"])
    assert own["judge"] < 2.1 * own["gbstats"]
    for method in ("judge", "gbstats", "exact"):
        assert fairly[method]["alarms"]["share"] <= results["alpha"]
    assert fairly["judge"]["mean"] < 1.15 * fairly["gbstats"]["mean"]
    assert own["gbstats"] < fairly["exact"]["mean"] < own["judge"] < 1.5 * fairly["exact"]["mean"]


def test_keys_are_counted_as_promised(results: Any) -> None:
    """A false alarm in a thousand experiments; where a tenth of an arm's keys is lost, an alarm in most."""
    alarms = {name: case["alarms"]["share"] for name, case in results["ratio"]["cases"].items()}
    assert max(alarms["50/50 as it should be"], alarms["90/10 as it should be"]) <= 0.004
    assert alarms["10 % of an arm's keys lost"] > 0.9


def test_the_tables_of_the_document_are_what_the_study_found(results: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody typed them in."""
    monkeypatch.syspath_prepend(str(FOLDER))
    tables = importlib.import_module("verdict_tables")
    assert tables.tables(results) in DOCUMENT.read_text()


def test_the_study_runs_again(tmp_path: Path, results: Any) -> None:
    """Two experiments of each kind, with every picture."""
    command = [sys.executable, str(FOLDER / "verdict_study.py"), "--experiments", "2", "--processes", "1", "--out", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, timeout=280)
    found = json.loads((tmp_path / "verdict_results.json").read_text())
    assert [one["name"] for one in found["nothing_there"]] == [one["name"] for one in results["nothing_there"]]
    drawn = {path.name for path in tmp_path.glob("*.svg")}
    assert drawn == {path.name for path in (ROOT / "docs" / "pictures").glob("verdict-*.svg")}


def test_gbstats_must_be_where_it_is_said_to_be(tmp_path: Path) -> None:
    """A wrong path is told before anything is simulated."""
    command = [sys.executable, str(FOLDER / "verdict_study.py"), "--gbstats", str(tmp_path / "python")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert f"--gbstats {tmp_path}/python: no such file" in done.stderr.replace("\n", "")
