"""What is made of measurements: intervals, tables, pictures, documents."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from measurements import measurement, opened
from rich.console import Console

from marina.errors import MarinaError
from marina.measuring.comparing import Rounds, interleaved, median_interval, ratio
from marina.measuring.curve import curve
from marina.measuring.load import Load
from marina.measuring.measurement import Measurement
from marina.measuring.picture import drawn
from marina.measuring.showing import comparison_table, in_milliseconds


def test_cases_are_measured_in_turn_the_other_way_round_every_other_time() -> None:
    """So that neither is always first, and what slows the machine slows both."""
    order: list[str] = []

    def case(name: str, seconds: float) -> Measurement:
        order.append(name)
        return measurement([seconds] * 10)

    rounds = interleaved({"a": lambda: case("a", 0.2), "b": lambda: case("b", 0.1)}, 6)
    assert order == ["a", "b", "b", "a"] * 3
    found = ratio(rounds, "a", "b", "p50")
    assert (found.median, found.low, found.high) == pytest.approx((2, 2, 2))


@pytest.mark.parametrize(
    ("count", "low", "high", "confidence"),
    [(2, 1, 2, 0.5), (5, 1, 5, 0.9375), (6, 1, 6, 0.96875), (9, 2, 8, 0.9609), (10, 2, 9, 0.9785), (20, 6, 15, 0.9586)],
)
def test_intervals_are_those_of_the_tables(count: int, low: float, high: float, confidence: float) -> None:
    """Le Boudec's table A.1 of order statistics at 95 %; of fewer than six values the least and the greatest."""
    found = median_interval([float(value) for value in range(count, 0, -1)])
    assert (found.low, found.high) == (low, high)
    assert found.confidence == pytest.approx(confidence, abs=1e-4)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Of ratios with heavy tails, whose true median is known."""
    drawn = np.random.default_rng(7).standard_t(2, size=(2000, 10))
    found = [median_interval([float(value) for value in row]) for row in drawn]
    held = sum(one.low <= 0 <= one.high for one in found) / len(found)
    assert abs(held - found[0].confidence) < 0.02


def test_a_program_reads_all_of_a_measurement() -> None:
    """In seconds, with nothing that JSON cannot have."""
    found = measurement([0.1, 0.2, 0.3]).document()
    assert found["latency_seconds"] == {"p50": 0.2, "p90": 0.28, "p95": 0.29, "p99": 0.298, "max": 0.3}
    assert (found["sent"], found["statuses"], found["throughput_per_second"]) == (3, {"200": 3}, 3)
    assert measurement([]).document()["latency_seconds"]["p50"] is None


def test_milliseconds_have_the_digits_that_can_be_read() -> None:
    """No exponents."""
    assert [in_milliseconds(one) for one in (0.0012345, 0.012345, 1.23456, float("nan"))] == ["1.23", "12.3", "1235", "-"]


def test_a_picture_shades_where_the_server_falls_behind() -> None:
    """Both its halves, and not where everything was answered; names of lines do not lie on each other."""
    measured = {10.0: opened(10, 10), 20.0: opened(20, 20), 40.0: opened(40, 21)}
    loads = [Load(rate=rate) for rate in (40.0, 10.0, 20.0)]
    found = curve(lambda load: measured[load.rate or 0], loads)
    assert found.over == [10, 20, 40]
    for axes in drawn(found, "digits").axes:
        texts = [text.get_text() for text in axes.texts]
        assert " falls behind" in texts
    heights = [text.get_position()[1] for text in axes.texts if text.get_text().startswith("p")]
    assert all(upper - lower > 0.05 for upper, lower in pairwise(heights))
    kept = curve(lambda load: measured[load.rate or 0], loads[1:])
    assert not any("behind" in text.get_text() for axes in drawn(kept, "digits").axes for text in axes.texts)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        ([0.2] * 6, "b is worse"),
        ([0.05] * 6, "b is better"),
        ([0.05, 0.2] * 3, "no difference seen"),
        ([0.2] * 5, "too few rounds to say"),
    ],
)
def test_a_table_says_which_is_better_where_the_interval_does(seconds: list[float], said: str) -> None:
    """Sooner is better; a ratio of 1 within the interval, or fewer rounds than 95 % takes, decides nothing."""
    rounds = Rounds({"a": [measurement([0.1] * 9) for _ in seconds], "b": [measurement([one] * 9) for one in seconds]})
    console = Console(record=True, width=120)
    console.print(comparison_table(rounds, "a", "b"))
    (row,) = [line for line in console.export_text().splitlines() if line.startswith("p50")]
    assert row.strip().endswith(said)


def test_a_generator_that_lacked_a_processor_is_said() -> None:
    """In both kinds of loop, where that is a good part of the latency: the caller would take it for the server's."""
    closed = measurement([0.01] * 10)
    starved = replace(closed, answers=replace(closed.answers, waited_seconds=0.05))
    said = "the load generator lacked processor time: some 5.0 ms of the latencies are its own, of 10.0 ms in the median"
    assert (closed.warnings, starved.warnings) == ([], [said])
    kept = opened(10, 10)
    late = replace(kept, answers=replace(kept.answers, sent=kept.answers.due + 0.005))
    assert (kept.warnings, late.warnings) == ([], [said])


def test_a_round_without_a_good_answer_has_no_ratio() -> None:
    """Whichever side it is on; a table of the others would hide it."""
    rounds = Rounds({"a": [measurement([0.1])] * 2, "b": [measurement([0.1]), measurement([])]})
    for above, below in ("ab", "ba"):
        with pytest.raises(MarinaError, match=r"^b gave no good answer in round 2 of 2: there is no ratio$"):
            ratio(rounds, above, below, "throughput")
