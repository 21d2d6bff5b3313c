"""What `make benchmark` makes of what it measured, and what it refuses."""

from __future__ import annotations

import dataclasses
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from marina.errors import MarinaError
from marina.paths import ROOT

BENCHMARKS = ROOT / "benchmarks"
SCRIPT = BENCHMARKS / "measure_goals.py"
sys.path.append(str(BENCHMARKS))  # where its modules are, as for the script itself

from goals.answers import wilson  # noqa: E402
from goals.bench import Compared  # noqa: E402
from goals.pictures import photograph, with_one_bad  # noqa: E402
from goals.results import BEGIN, END, keep, read_results, table, write_page  # noqa: E402
from growth.curve import Curve  # noqa: E402

ORDER = ("first", "second")
FASTER = Compared("ours beside theirs", "first", 2.0, timed=False)


def test_the_ratio_is_the_median_of_the_rounds() -> None:
    """A round that was disturbed moves the ratio little, and is told as the interval's end."""
    result = FASTER.result([100, 100, 100], [50, 40, 10])
    assert (result.ratio, result.low, result.high) == (2.5, 2.0, 10.0)
    assert (result.ours, result.other, result.rounds, result.reached) == (100, 40, 3, True)


def test_lower_can_be_the_better() -> None:
    """A latency reaches its target from above."""
    latency = Compared("p99", "first", 0.25, "lower", "s", timed=False)
    assert latency.result([1.0], [5.0]).reached
    assert not latency.result([2.0], [5.0]).reached
    assert Compared("told", "first", None).result([1.0], [1.0]).reached is None


def test_what_a_busy_machine_measured_is_not_judged() -> None:
    """Neither as reached nor as missed: a server whose threads wait for each other loses more by it than others."""
    result = dataclasses.replace(FASTER.result([100.0], [1.0]), busy=True)
    assert result.reached is None
    assert "not judged: busy machine" in table([result])


def test_a_goal_that_is_measured_again_replaces_its_own_results_alone(tmp_path: Path) -> None:
    """The other goals' results stay, in the order of the issue's table."""
    file = tmp_path / "results" / "goals.json"
    second = Compared("other", "second", 1.0)
    keep([second.result([3.0], [1.0])], file, ORDER)
    keep([FASTER.result([1.0], [1.0])], file, ORDER)
    keep([FASTER.result([4.0], [1.0])], file, ORDER)
    assert [(one.goal, one.ratio) for one in read_results(file)] == [("ours beside theirs", 4.0), ("other", 3.0)]
    for one in json.loads(file.read_text()):
        assert {"goal", "ours", "other", "ratio", "better", "target", "rounds"} <= set(one)


def test_results_of_something_else_are_refused(tmp_path: Path) -> None:
    """They are not overwritten."""
    file = tmp_path / "goals.json"
    file.write_text('[{"name": "another program\'s"}]')
    with pytest.raises(MarinaError, match=r"not what make benchmark writes .*: remove it, and measure again"):
        read_results(file)


def test_the_page_gets_the_table_and_keeps_its_text(tmp_path: Path) -> None:
    """What is missed is said as plainly as what is reached."""
    page = tmp_path / "README.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_page([FASTER.result([1.0], [1.0])], page)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "| ours beside theirs | images/s | 1 | 1 | 1 (1 – 1) | ≥ 2 | 1 | **no** |" in text
    assert "old" not in text


def test_a_page_without_its_markers_is_refused(tmp_path: Path) -> None:
    """The message names what is required."""
    page = tmp_path / "README.md"
    page.write_text("nothing\n")
    with pytest.raises(MarinaError, match="are required, between which the results go"):
        write_page([], page)


def test_the_committed_page_shows_the_committed_results() -> None:
    """The table that a person reads is the one that a program reads."""
    results = read_results()
    assert table(results) in (BENCHMARKS / "README.md").read_text()


def test_pictures_are_as_large_as_is_asked_and_the_same_everywhere(tmp_path: Path) -> None:
    """A photograph of 65 KB, twice the same; one in a hundred is no picture where that is asked."""
    content = photograph(tmp_path / "one")
    assert abs(len(content) / 65_000 - 1) < 0.05
    assert content == photograph(tmp_path / "another")
    assert Image.open(io.BytesIO(content)).size == (640, 480)
    assert sum(one != content for one in with_one_bad(content)) == 1


def test_wilson_says_how_sure_a_share_is() -> None:
    """As in the literature: 8 of 10 is between 49 and 94 percent."""
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)


def test_a_goal_that_there_is_not_is_named() -> None:
    """With those that there are."""
    done = subprocess.run([sys.executable, str(SCRIPT), "--goals", "resnet19"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--goals resnet19: there are resnet18, vgg16, large, single, limit, bad_images" in done.stderr


def test_rounds_and_seconds_are_checked_before_anything_is_built() -> None:
    """One line, and nothing is started."""
    done = subprocess.run([sys.executable, str(SCRIPT), "--rounds", "0"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--rounds must be at least 1, --seconds more than 0 and --warm-up 0 or more" in done.stderr


def test_a_curve_says_how_fast_it_grows(tmp_path: Path) -> None:
    """What doubles with its work grows by the power 1, what quadruples by 2; figures that are missing are left out."""
    curve = Curve("specs", "specs", [1, 2, 4], {"build, s": [3.0, 6.0, 12.0], "check, s": [1.0, float("nan"), 16.0]}, "today")
    assert curve.exponent("build, s") == pytest.approx(1.0)
    assert curve.exponent("check, s") == pytest.approx(2.0)
    assert "| grows by the power | 1.00 | 2.00 |" in curve.table()
    assert curve.draw(tmp_path).read_text().startswith("<?xml")


def test_a_curve_that_there_is_not_is_named() -> None:
    """With those that there are."""
    command = [sys.executable, str(BENCHMARKS / "measure_growth.py"), "--curves", "users"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--curves users: there are connections, batches, images, models, versions, workers, specs" in done.stderr
