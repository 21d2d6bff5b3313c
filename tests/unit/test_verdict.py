"""The verdict as mathematics: what it says of data whose truth is known, and against the tests of scipy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from experiments import HALVES, Draw, binary, constant, experiment, normal
from scipy import stats

from marina.comparing.boundary import boundary, mixture_for
from marina.comparing.evidence import evidence_of, rows_of
from marina.comparing.interval import Interval, growth_until_known
from marina.comparing.sample_ratio import sample_ratio
from marina.comparing.traffic_rows import Observations, SplitChange
from marina.comparing.verdict import Margin, Question, Verdict, judge
from marina.comparing.wording import sentence

BETTER = Question("score", "2.0", "1.0")


def difference(verdict: Verdict) -> Interval:
    """The difference, which is there."""
    assert verdict.difference is not None
    return verdict.difference


@pytest.mark.parametrize(
    ("draw", "lower", "state"),
    [
        (normal(0.2), False, "better"),
        (normal(-0.2), False, "worse"),
        (normal(0.2), True, "worse"),
        (normal(-0.2), True, "better"),
        (normal(0.0), False, "unknown"),
        (binary(0.90, 0.95), False, "better"),
        (binary(0.02, 0.10), True, "worse"),
    ],
)
def test_a_difference_that_is_there_is_found_with_its_sign(draw: Draw, lower: bool, state: str) -> None:
    """And one that is not there is not, also where less is better."""
    verdict = judge(replace(BETTER, lower_is_better=lower), experiment(6000, draw), HALVES)
    assert verdict.state == state


def test_the_effect_and_its_spread_are_those_of_the_two_sample_test() -> None:
    """With a key for each request, the estimate divided by its standard error is Welch's statistic, as scipy has it."""
    seen = experiment(4000, normal(0.1))
    verdict = judge(BETTER, seen, HALVES)
    arms = [seen.value[seen.assigned == arm] for arm in ("2.0", "1.0")]
    welch = stats.ttest_ind(*arms, equal_var=False)
    error = np.sqrt(verdict.evidence.variance) / verdict.evidence.weight
    assert verdict.evidence.effect == pytest.approx(arms[0].mean() - arms[1].mean())
    assert verdict.evidence.effect / error == pytest.approx(welch.statistic, rel=2e-3)
    fixed = welch.confidence_interval()
    assert difference(verdict).low < fixed.low < fixed.high < difference(verdict).high


def test_requests_of_one_key_count_as_the_delta_method_counts_them() -> None:
    """The standard error of a mean per request is that of a ratio of two sums over keys."""
    random = np.random.default_rng(5)
    taste = random.normal(size=400)
    seen = experiment(8000, lambda _, treated: np.zeros(len(treated)), keys=400)
    seen = replace(seen, value=taste[seen.key] + random.normal(size=8000))
    evidence = judge(BETTER, seen, HALVES).evidence
    for number, arm in enumerate(("1.0", "2.0")):
        mine = seen.assigned == arm
        asked = np.bincount(seen.key[mine], minlength=400)
        total, asked = np.bincount(seen.key[mine], seen.value[mine], 400)[asked > 0], asked[asked > 0]
        ratio = total.sum() / asked.sum()
        covariance = np.cov(total, asked)
        delta = covariance[0, 0] - 2 * ratio * covariance[0, 1] + ratio**2 * covariance[1, 1]
        expected = delta / len(asked) / asked.mean() ** 2
        assert evidence.variances[number] / evidence.weight**2 == pytest.approx(expected, rel=1e-3)


def test_shifting_all_values_shifts_nothing() -> None:
    """A metric with another zero has the same differences."""
    seen = experiment(3000, normal(0.1))
    moved = replace(seen, value=seen.value + 1000)
    assert vars(difference(judge(BETTER, moved, HALVES))) == pytest.approx(vars(difference(judge(BETTER, seen, HALVES))))


def test_scaling_all_values_scales_the_difference() -> None:
    """Milliseconds say what seconds say; the relative difference is the same."""
    seen = experiment(3000, normal(0.1))
    once, thousandfold = judge(BETTER, seen, HALVES), judge(BETTER, replace(seen, value=seen.value * 1000), HALVES)
    assert difference(thousandfold).low == pytest.approx(1000 * difference(once).low)
    assert vars(thousandfold.relative) == pytest.approx(vars(once.relative))


def test_swapping_the_arms_flips_the_sign() -> None:
    """What is better from one side is worse from the other, by as much."""
    seen = experiment(3000, normal(0.2), percent=30)
    one, other = judge(BETTER, seen, HALVES), judge(replace(BETTER, arm="1.0", control="2.0"), seen, HALVES)
    assert (difference(one).low, difference(one).high) == pytest.approx((-difference(other).high, -difference(other).low))


def test_the_relative_difference_excludes_none_where_the_difference_does() -> None:
    """Both intervals say the same of whether there is a difference, at every size of it."""
    for effect in np.linspace(-0.3, 0.3, 25):
        verdict = judge(BETTER, experiment(3000, normal(float(effect), mean=3.0)), HALVES)
        assert verdict.relative is not None
        assert verdict.relative.excludes_zero() == difference(verdict).excludes_zero()
        assert verdict.relative.low < verdict.relative.value < verdict.relative.high


def test_a_change_of_the_weights_does_not_mix_times() -> None:
    """Values rise while 2.0 gets more of the requests: a pooled mean finds 2.0 better, the verdict finds nothing."""
    random = np.random.default_rng(9)
    time = np.arange(20_000, dtype=float)
    late = time >= 10_000
    treated = random.random(20_000) < np.where(late, 0.9, 0.1)
    value = random.normal(size=20_000) + 2.0 * late
    seen = Observations(time, time, np.arange(20_000), np.where(treated, "2.0", "1.0"), value)
    splits = [SplitChange(at, "digits", "digits", {"1.0": 100 - share, "2.0": share}) for at, share in ((0, 10), (10_000, 90))]
    assert value[treated].mean() - value[~treated].mean() > 1
    verdict = judge(BETTER, seen, splits)
    assert abs(verdict.evidence.effect) < 0.1
    assert verdict.state == "unknown"
    assert verdict.ratio.right


def test_what_all_requests_go_to_teaches_nothing_more() -> None:
    """After the last step of a rollout the difference stays as it was, and is not told to be known soon."""
    seen = experiment(4000, normal(0.03))
    after = Observations(
        seen.time + 5000, seen.known + 5000, seen.key + 4000, np.full(4000, "2.0"), experiment(4000, normal(3.0)).value
    )
    both = Observations(*(np.concatenate(pair) for pair in zip(vars(seen).values(), vars(after).values(), strict=True)))
    splits = [*HALVES, SplitChange(5500.0, "digits", "digits", {"1.0": 0.0, "2.0": 100.0})]
    before, since = judge(BETTER, seen, HALVES), judge(BETTER, both, splits)
    assert since.evidence.effect == pytest.approx(before.evidence.effect)
    assert before.more_seconds is not None
    assert since.more_seconds is None


def test_requests_at_the_moment_of_a_change_are_left_out() -> None:
    """Either weights may have split them."""
    seen = experiment(4000, normal())
    splits = [*HALVES, replace(HALVES[0], time=3000.0)]
    assert sum(judge(BETTER, seen, splits).evidence.requests) == 4000 - 5


def test_one_heavy_key_is_not_many_keys() -> None:
    """The same requests are found different one by one, and not where a few keys made most of them."""
    random = np.random.default_rng(2)
    shares = 1 / np.arange(1, 2001) ** 1.2
    key = random.choice(2000, size=10_000, p=shares / shares.sum())
    treated = (random.random(2000) < 0.5)[key]
    value = random.normal(size=2000)[key]
    time = np.arange(10_000, dtype=float)
    seen = Observations(time, time, key, np.where(treated, "2.0", "1.0"), value)
    alone = replace(seen, key=np.arange(10_000))
    assert difference(judge(BETTER, alone, HALVES)).excludes_zero()
    verdict = judge(BETTER, seen, HALVES)
    assert verdict.difference is None
    assert "a few keys make most of the requests" in sentence(verdict)


def test_a_small_arm_that_saw_no_rare_event_is_not_sure() -> None:
    """1 % of the keys without one of the errors that 2 % have elsewhere: no verdict yet."""
    seen = experiment(6000, binary(0.02, 0.0), percent=1)
    assert judge(replace(BETTER, lower_is_better=True), seen, HALVES).difference is not None
    assert not difference(judge(BETTER, seen, HALVES)).excludes_zero()


def test_no_errors_at_all_are_no_difference_that_matters() -> None:
    """Zero against zero becomes an interval that narrows with the requests, and fits into a margin."""
    question = replace(BETTER, lower_is_better=True, margin=Margin(0.01))
    assert [judge(question, experiment(size, binary(0, 0)), HALVES).state for size in (500, 4000)] == ["unknown", "same"]


def test_a_margin_of_the_control_is_in_the_unit_of_the_metric() -> None:
    """5 % of a mean of 10 is 0.5."""
    verdict = judge(replace(BETTER, margin=Margin(0.05, relative=True)), experiment(4000, normal(0.01)), HALVES)
    assert verdict.margin == pytest.approx(0.5, rel=0.02)
    assert verdict.state == "same"


def test_a_difference_smaller_than_the_margin_is_none_that_matters() -> None:
    """Also where it is surely there."""
    verdict = judge(replace(BETTER, margin=Margin(1.0)), experiment(8000, normal(0.3)), HALVES)
    assert difference(verdict).excludes_zero()
    assert verdict.state == "same"


@pytest.mark.parametrize("values", [(1.5, 1.5), (1.5, 2.5)])
def test_values_that_do_not_vary_give_no_interval(values: tuple[float, float]) -> None:
    """There is nothing to measure chance by, whether or not the arms agree."""
    verdict = judge(BETTER, experiment(1000, constant(*values)), HALVES)
    assert verdict.difference is None
    assert verdict.state == "unknown"


def test_three_arms_are_compared_with_the_control_each() -> None:
    """The third changes nothing between the other two."""
    seen = experiment(6000, normal(0.3))
    third = np.random.default_rng(77).random(6000) < 0.3
    three = replace(seen, assigned=np.where(third, "3.0", seen.assigned))
    splits = [replace(HALVES[0], weights={"1.0": 35.0, "2.0": 35.0, "3.0": 30.0})]
    assert judge(BETTER, three, splits).state == "better"
    without = Observations(*(column[~third] for column in vars(seen).values()))
    assert difference(judge(BETTER, three, splits)) == difference(judge(BETTER, without, HALVES))


def test_missing_keys_are_found_and_no_verdict_is_given() -> None:
    """An arm that loses a fifth of its keys is not compared, however clear the difference looks."""
    seen = experiment(8000, normal(1.0))
    lost = (seen.assigned == "2.0") & (seen.key % 5 == 0)
    kept = Observations(*(column[~lost] for column in vars(seen).values()))
    verdict = judge(BETTER, kept, HALVES)
    assert verdict.state == "untrusted"
    assert judge(BETTER, seen, HALVES).state == "better"


def test_keys_are_counted_against_the_split_that_was_in_force() -> None:
    """10 % and then 90 % are right where they were asked for, and wrong against 50 % throughout."""
    random = np.random.default_rng(4)
    period = np.repeat([0, 1], 5000)
    assigned = np.where(random.random(10_000) < np.where(period, 0.9, 0.1), "2.0", "1.0")
    tenth, most = {"1.0": 90.0, "2.0": 10.0}, {"1.0": 10.0, "2.0": 90.0}
    assert sample_ratio(np.arange(10_000), assigned, period, [tenth, most]).right
    half = {"1.0": 50.0, "2.0": 50.0}
    assert not sample_ratio(np.arange(10_000), assigned, period, [half, half]).right


def test_keys_on_an_arm_without_weight_are_no_chance() -> None:
    """An arm of 0 % has no keys."""
    found = sample_ratio(np.arange(3), np.array(["1.0", "1.0", "2.0"]), np.zeros(3, int), [{"1.0": 100.0, "2.0": 0.0}])
    assert not found.right


def test_the_boundary_is_a_normal_quantile_and_more() -> None:
    """It is tightest where it was tuned, and nowhere as tight as a test that looks once."""
    alpha, once = 0.05, stats.norm.ppf(0.975)
    mixture = mixture_for(100.0, alpha)
    variances = np.geomspace(1, 10_000, 400)
    heights = [boundary(float(variance), mixture, alpha) / np.sqrt(variance) for variance in variances]
    relative = [boundary(100.0, mixture_for(float(at), alpha), alpha) for at in variances]
    assert min(heights) > once
    assert variances[int(np.argmin(relative))] == pytest.approx(100, rel=0.2)


@pytest.mark.parametrize(
    ("totals", "variance", "expected"),
    [
        ((500, 5000.0, 520, 5330.0), 0.0052486661480661044, (0.007006233766620407, 0.4929937662333796)),
        ((3000, 300.0, 3010, 390.0), 6.74909644972693e-05, (0.0046207458714744125, 0.05451546675311027)),
        ((9000, 90.0, 1000, 30.0), 0.0009617241421886382, (-0.07494154422581714, 0.11494154422581712)),
    ],
)
def test_the_interval_is_that_of_gbstats(
    totals: tuple[int, float, int, float], variance: float, expected: tuple[float, float]
) -> None:
    """The numbers are what SequentialTwoSidedTTest of gbstats 0.8.0 says of these keys, sums and this variance at α = 0.05."""
    control, control_sum, other, other_sum = totals
    effect = other_sum / other - control_sum / control
    half = boundary(variance, mixture_for(variance * 5000 / (control + other), 0.05), 0.05)
    assert (effect - half, effect + half) == pytest.approx(expected)


def test_the_foretold_growth_is_the_one_that_suffices() -> None:
    """With as many times the traffic the interval has the width that was asked for; without errors it needs no square of it."""
    evidence = judge(BETTER, experiment(4000, normal(0.05)), HALVES).evidence
    growth = growth_until_known(evidence, 40.0, 0.05, None)
    assert growth is not None
    assert growth > 1
    assert boundary(evidence.variance * growth, 40.0, 0.05) / (evidence.weight * growth) == pytest.approx(
        abs(evidence.effect), rel=1e-2
    )
    assert growth_until_known(evidence, 40.0, 0.05, 1000.0) == 1.0
    assert growth_until_known(replace(evidence, means=(1.0, 1.0)), 40.0, 0.05, 1e-9) is None
    assert growth_until_known(replace(evidence, means=(1.0, 1.0)), 40.0, 0.05, None) is None


def test_without_errors_twice_the_requests_halve_the_interval() -> None:
    """So that a margin is told to be reached when it is."""
    question = replace(BETTER, margin=Margin(0.002))
    verdict = judge(question, experiment(4000, binary(0, 0)), HALVES)
    assert verdict.more_seconds is not None
    assert judge(question, experiment(4100 + int(verdict.more_seconds), binary(0, 0)), HALVES).state == "same"
    assert judge(question, experiment(3800 + int(verdict.more_seconds), binary(0, 0)), HALVES).state == "unknown"


def test_it_is_known_about_when_it_was_foretold() -> None:
    """A difference that is seen early and told to need days is known after about as many."""
    whole = experiment(60_000, normal(0.06))
    early = Observations(*(column[:4000] for column in vars(whole).values()))
    foretold = judge(BETTER, early, HALVES)
    assert foretold.state == "unknown"
    assert foretold.more_seconds is not None
    rows = 4000 + int(foretold.more_seconds)
    assert 5000 < rows < 60_000
    then = Observations(*(column[: 3 * rows] for column in vars(whole).values()))
    assert judge(BETTER, then, HALVES).state == "better"


def test_differences_over_time_end_with_the_verdict() -> None:
    """The last of them is the verdict's, each was seen with fewer keys, and they narrow."""
    verdict = judge(BETTER, experiment(5000, normal(0.2)), HALVES, looks=20)
    assert len(verdict.over_time) == 20
    assert verdict.over_time[-1].difference == verdict.difference
    widths = [look.difference.high - look.difference.low for look in verdict.over_time]
    assert widths[-1] < widths[10] < widths[0]
    assert [look.time for look in verdict.over_time] == sorted(look.time for look in verdict.over_time)


def test_a_second_look_does_not_change_the_first() -> None:
    """What more rows bring changes nothing of how the rows before were judged."""
    seen = experiment(6000, normal(0.1))
    early = Observations(*(column[:3000] for column in vars(seen).values()))
    then = judge(BETTER, early, HALVES)
    rows = rows_of(seen.key, seen.assigned == "2.0", np.zeros(6000, np.int64), seen.value)
    assert evidence_of(rows, 3000).effect == pytest.approx(then.evidence.effect)
    assert evidence_of(rows, 3000).variance == pytest.approx(then.evidence.variance)
