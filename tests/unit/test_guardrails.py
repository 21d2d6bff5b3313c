"""What a rollout is rolled back for: rightly, for the right reason, and hardly ever for nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from marina.comparing.guardrails import Bounds, Copies, Counts, Finding, Pair, judge
from marina.comparing.rollout import shared, steps_from
from marina.comparing.split import Objectives, Split

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, math.inf)
FAST = 0.01


def counts(requests: int, errors: int = 0, slow: int = 0, seconds: float = 0.4, usual: float = FAST) -> Counts:
    """An arm of which some answers took long, and the others as usual."""
    times = [*[usual] * (requests - slow), *[seconds] * slow]
    return Counts(requests=requests, errors=errors, buckets={bound: sum(time <= bound for time in times) for bound in BOUNDS})


def judged(candidate: Counts, current: Counts, look: int = 1, **objectives: float) -> Finding | None:
    return judge(Pair("2", "1", candidate, current, Copies()), Bounds(objectives=Objectives(**objectives)), look)


def copied(alike: int, compared: int, look: int = 1) -> Finding | None:
    return judge(Pair("2", "1", Counts(), Counts(), Copies(alike=alike, compared=compared)), Bounds(), look)


def sentence(found: Finding | None) -> str:
    assert found is not None
    return found.sentence


def test_a_candidate_that_fails_more_often_is_worse() -> None:
    """The sentence has both shares."""
    found = judged(counts(100, errors=12), counts(1900, errors=4))
    assert (found.verdict, found.about) == ("worse", "errors") if found else False
    assert sentence(found).startswith("2 fails more often than 1: 12.0 % (12 of 100) against 0.2 % (4 of 1900) of the requests")


def test_as_many_errors_as_the_current_arm_has_are_no_reason() -> None:
    """Whatever fails both alike is not the candidate's fault; beyond the objective, it goes no further."""
    assert judged(counts(1000, errors=5), counts(9000, errors=45)) is None
    found = judged(counts(1000, errors=100), counts(9000, errors=900))
    assert found is not None
    assert (found.verdict, found.sentence) == (
        "hold",
        "2 fails in 10.0 % (100 of 1000) of the requests, beyond the objective of 1 %, and so is 1",
    )


def test_a_difference_that_does_not_matter_is_none() -> None:
    """However sure it is."""
    assert judged(counts(200_000, errors=900), counts(200_000, errors=400)) is None


def test_a_slow_candidate_is_worse() -> None:
    """Its p99 is above 1.5 times the current arm's, told by the bounds that the gateway counts by."""
    found = judged(counts(200, slow=20), counts(1800, slow=4))
    assert found is not None
    assert (found.verdict, found.about) == ("worse", "p99")
    assert found.sentence.startswith("2 is slower than 1: its p99 is above 25 ms, 1's about 9.96 ms: 10.0 % (20 of 200)")


def test_a_slow_machine_is_not_the_candidates_fault() -> None:
    """Both arms have the same slow answers."""
    assert judged(counts(200, slow=20), counts(1800, slow=180)) is None


def test_the_objectives_are_bounds_too() -> None:
    """A candidate beyond one that the current arm keeps is rolled back, though it is not shown to be worse than it."""
    found = judged(counts(1000, errors=40), counts(60, errors=0), errors_percent=1.0)
    assert sentence(found) == "2 fails in 4.0 % (40 of 1000) of the requests, beyond the objective of 1 %"
    found = judged(counts(400, slow=40), counts(8), p99_ms=100)
    assert sentence(found).startswith("2's p99 is beyond the objective of 100 ms: 10.0 % (40 of 400) of its answers took longer")
    found = judged(counts(400, slow=40), counts(400, slow=40), p99_ms=100)
    assert found is not None
    assert found.verdict == "hold"


def test_a_candidate_that_answers_otherwise_is_worse() -> None:
    """Told by copies, before it has a single caller; the sentence has how many, and what the share may be at most."""
    found = copied(30, 50)
    assert found is not None
    assert (found.verdict, found.about) == ("worse", "agreement")
    assert found.sentence == (
        "2 answers 60.0 % (30 of 50) of the copied requests as 1 does, which may be 77.1 % at most; required 90 %"
    )


@pytest.mark.parametrize(("alike", "compared"), [(0, 0), (0, 19), (17, 20), (85, 100), (900, 1000)])
def test_few_copies_that_differ_may_be_chance(alike: int, compared: int) -> None:
    """Fewer than twenty say nothing, and a share below the required one nothing that could not be bad luck."""
    assert copied(alike, compared) is None


def test_a_candidate_that_agrees_enough_is_hardly_ever_rolled_back() -> None:
    """300 rollouts of one that agrees in just the required 90 %, each looked at 25 times: fewer than 5 %; in 75 %, nearly all."""
    random = np.random.default_rng(8)

    def back(share: float) -> float:
        rollouts = (np.cumsum(random.random(1000) < share) for _ in range(300))
        looks = list(enumerate(range(40, 1001, 40), 1))
        return sum(any(copied(int(same[n - 1]), n, look) for look, n in looks) for same in rollouts) / 300

    assert back(0.9) < 0.05
    assert back(0.75) > 0.95


@pytest.mark.parametrize(("candidate", "current"), [(counts(0), counts(100)), (counts(3, errors=1), counts(0))])
def test_nothing_is_concluded_from_nothing(candidate: Counts, current: Counts) -> None:
    """No requests, or none to compare with."""
    assert judged(candidate, current) is None


def test_one_failure_of_few_requests_is_not_enough() -> None:
    """It may be bad luck."""
    assert judged(counts(20, errors=1), counts(1980, errors=10)) is None


def test_a_good_candidate_is_hardly_ever_rolled_back() -> None:
    """300 rollouts of a candidate as good as its current arm, each looked at 25 times: fewer than 5 % are rolled back."""
    random = np.random.default_rng(6)
    back = 0
    for _ in range(300):
        errors, slow = random.random((2, 2500)) < [[0.02], [0.01]]
        candidate = random.random(2500) < 0.2
        back += any(
            (found := judged(_of(candidate, errors, slow, n), _of(~candidate, errors, slow, n), look, errors_percent=5.0))
            and found.verdict == "worse"
            for look, n in enumerate(range(100, 2501, 100), 1)
        )
    assert back / 300 < 0.05


def test_a_bad_candidate_is_nearly_always_rolled_back() -> None:
    """One request in ten fails, against one in a hundred: found within 400 of its requests in 95 of 100 rollouts."""
    random = np.random.default_rng(7)
    found = 0
    for _ in range(100):
        ours, theirs = random.random(400) < 0.1, random.random(4000) < 0.01
        found += any(
            judged(counts(n, int(ours[:n].sum())), counts(n * 10, int(theirs[: n * 10].sum())), look, errors_percent=50.0)
            for look, n in enumerate((50, 100, 150, 200, 300, 400), 1)
        )
    assert found >= 95


def _of(arm: np.ndarray, errors: np.ndarray, slow: np.ndarray, n: int) -> Counts:
    mask = arm[:n]
    requests, late = int(mask.sum()), int(slow[:n][mask].sum())
    buckets = {FAST: requests - late, 0.025: requests - late, 0.5: requests, math.inf: requests}
    return Counts(requests=requests, errors=int(errors[:n][mask].sum()), buckets=buckets)


def test_counts_since_are_differences_and_begin_anew_with_the_gateway() -> None:
    """A gateway that was started anew counts from nothing."""
    earlier, later = counts(100, errors=2, slow=5), counts(130, errors=3, slow=6)
    assert later.since(earlier) == counts(30, errors=1, slow=1)
    assert counts(20).since(later) == counts(20)


def test_the_others_share_what_a_candidate_leaves() -> None:
    """As they had it before; the whole is always the whole, and the order stays."""
    before = Split(weights={"1": 70, "2": 0, "3": 30})
    assert shared(before, "2", 10).weights == {"1": 63.0, "2": 10.0, "3": 27.0}
    assert shared(before, "2", 100).weights == {"1": 0.0, "2": 100.0, "3": 0.0}
    assert shared(Split(weights={"1": 33.33, "3": 66.67}), "2", 0.01).weights == {"1": 33.32, "3": 66.67, "2": 0.01}
    for percent in (0.01, 1, 33.33, 99.99):
        assert sum(shared(before, "2", percent).parts.values()) == 10_000


def test_steps_below_what_a_candidate_has_are_passed_over() -> None:
    """Callers whom it answers are not taken away from it."""
    assert steps_from(Split(weights={"1": 50, "2": 50}), "2", [1, 5, 50, 75, 100]) == [75, 100]
    assert steps_from(Split(weights={"1": 100}), "2", [1, 100]) == [1, 100]
