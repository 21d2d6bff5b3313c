"""What is to be done so that what runs is what the deployment says: the steps, their order, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from marina.comparing.split import Split
from marina.serving.applied import Applied
from marina.serving.deployment import Deployment, Wanted
from marina.serving.differences import Differences, Expected, Observed, Rules, differences
from marina.serving.management import Running, Worker

NONE = Applied()
OURS = Applied(versions={"m": ["1", "2", "3"]})


def deployment(versions: dict[str, dict[str, int] | None], default: str = "1", **more: Any) -> Deployment:
    return Deployment.model_validate({"models": {"m": {"default": default, "versions": versions, **more}}})


def running(version: str, workers: int = 1, ready: int | None = None, **changes: Any) -> Running:
    states = ["READY" if number < (workers if ready is None else ready) else "LOADING" for number in range(workers)]
    found = tuple(Worker(str(number), status, 100 + number) for number, status in enumerate(states))
    given: dict[str, Any] = {"archive": f"m-{version}.mar", "batch_size": 1, "max_batch_delay_ms": 5} | changes
    return Running("m", version, wanted_workers=workers, workers=found, **given)


def observed(*versions: Running, default: str = "1", split: dict[str, float] | None = None, gateway: bool = False) -> Observed:
    splits: Mapping[str, Split] | None = {"m": Split(weights=split)} if split else {} if gateway else None
    by_version = {one.version: one for one in versions}
    return Observed({"m": by_version} if versions else {}, {"m": default} if versions else {}, frozenset(), splits)


def compare(wanted: Deployment, found: Observed, applied: Applied = OURS, **rules: Any) -> Differences:
    expected = [_expected(one) for one in wanted.versions()]
    return differences(wanted, expected, found, applied, Rules(**rules))


def _expected(one: Wanted) -> Expected:
    given = one.settings
    return Expected(one, f"m-{one.name}.mar", given.workers or 1, given.batch_size or 1, given.max_batch_delay_ms or 5)


def short(found: Differences) -> list[str]:
    return [" ".join(str(part) for part in (one.action, one.version, one.weights) if part) for one in found.steps]


def test_nothing_to_do_is_nothing() -> None:
    """What runs is what is wanted."""
    found = compare(deployment({"1": None, "2": None}), observed(running("1"), running("2")))
    assert found == Differences([], [], [])


def test_an_empty_server_gets_all_default_first() -> None:
    """TorchServe makes the first the default."""
    found = compare(deployment({"1": {"workers": 2}, "2": None}, default="2"), observed(), NONE)
    assert short(found) == ["register 2", "register 1"]
    assert found.steps[1].text == "m 1: register m-1.mar: workers 2, batch size 1, delay 5 ms"


def test_what_is_new_comes_before_the_split_and_what_goes_after_it() -> None:
    """No weight is ever on an arm without READY workers."""
    wanted = deployment({"2": None}, default="2", split={"weights": {"2": 100}})
    found = compare(wanted, observed(running("1"), split={"1": 100}))
    assert short(found) == ["register 2", "default 2", "gateway", "unregister 1"]
    assert found.steps[2].text == "gateway: m 1 100 % → 2 100 %"


def test_workers_grow_before_the_split_and_shrink_after_it() -> None:
    """An arm that gets more requests has more workers first."""
    wanted = deployment({"1": None, "2": {"workers": 3}}, split={"weights": {"1": 10, "2": 90}})
    found = compare(wanted, observed(running("1", 2), running("2"), split={"1": 90, "2": 10}))
    assert short(found) == ["scale 2", "gateway", "scale 1"]
    assert found.steps[0].text == "m 2: workers 1 → 3"


def test_an_arm_without_weight_is_simply_registered_again() -> None:
    """Nobody is sent there."""
    found = compare(deployment({"1": None, "2": {"batch_size": 8}}), observed(running("1"), running("2")))
    assert short(found) == ["unregister 2", "register 2"]
    assert found.steps[0].text == "m 2: unregister it, to register it again: batch size 1 → 8"


def test_an_arm_with_weight_gives_it_away_while_it_is_registered_again() -> None:
    """First the weight, then the default, then the arm, and all back."""
    wanted = deployment({"1": {"max_batch_delay_ms": 9}, "2": None}, split={"weights": {"1": 70, "2": 30}})
    found = compare(wanted, observed(running("1"), running("2"), split={"1": 70, "2": 30}))
    away, back = "split {'1': 0.0, '2': 100.0}", "split {'1': 70.0, '2': 30.0}"
    assert short(found) == [away, "default 2", "unregister 1", "register 1", "default 1", back]


def test_two_arms_are_registered_again_one_after_the_other() -> None:
    """Each answers for the other."""
    wanted = deployment({"1": {"batch_size": 2}, "2": {"batch_size": 2}}, split={"weights": {"1": 70, "2": 30}})
    steps = short(compare(wanted, observed(running("1"), running("2"), split={"1": 70, "2": 30})))
    assert steps[0] == "split {'1': 0.0, '2': 100.0}"
    assert steps[5:8] == ["split {'1': 70.0, '2': 30.0}", "split {'1': 100.0, '2': 0.0}", "unregister 2"]


def test_without_a_gateway_the_default_is_what_answers() -> None:
    """It moves away, and back."""
    found = compare(deployment({"1": {"batch_size": 2}, "2": None}), observed(running("1"), running("2")))
    assert short(found) == ["default 2", "unregister 1", "register 1", "default 1"]


def test_a_default_that_moves_away_for_good_is_registered_again_once() -> None:
    """Neither the old default nor the new one is done twice."""
    wanted = deployment({"1": {"batch_size": 2}, "2": {"batch_size": 2}}, default="2")
    found = compare(wanted, observed(running("1"), running("2")))
    assert short(found) == ["unregister 2", "register 2", "default 2", "unregister 1", "register 1"]


@pytest.mark.parametrize("other", [None, running("2", ready=0)])
def test_the_only_arm_that_answers_is_left_alone_unless_a_gap_is_allowed(other: Running | None) -> None:
    """The reason, and the option that does it all the same."""
    versions: dict[str, dict[str, int] | None] = {"1": {"batch_size": 2}} | ({"2": None} if other else {})
    found = observed(*filter(None, (running("1"), other)))
    refused = compare(deployment(versions), found).refused
    assert refused == [
        "m 1: batch size 1 → 2: this needs it registered again, and no other version of m is READY to answer meanwhile: "
        "--allow-gap does it all the same, and requests are refused for some seconds"
    ]
    allowed = compare(deployment(versions), found, allow_gap=True)
    assert not allowed.refused
    assert [step for step in short(allowed) if step.endswith(" 1")][:2] in (["unregister 1", "register 1"], ["unregister 1"])


def test_a_dead_arm_may_be_registered_again_at_once() -> None:
    """There is nothing to lose."""
    found = compare(deployment({"1": {"batch_size": 2}}), observed(running("1", ready=0)))
    assert (short(found), found.refused) == (["unregister 1", "register 1"], [])


def test_a_version_whose_archive_was_built_anew_is_registered_again() -> None:
    """The Management API does not say it, the handler does."""
    base = observed(running("1"), running("2"))
    found = compare(
        deployment({"1": None, "2": None}), Observed(base.versions, base.defaults, frozenset({("m", "2")}), base.splits)
    )
    assert found.steps[0].text == "m 2: unregister it, to register it again: the archive was built anew"


def test_what_a_stopped_apply_left_is_asked_before_it_gets_weight() -> None:
    """A READY version that nobody has seen answer is no arm yet."""
    half = Applied(versions={"m": ["1", "2"]}, unproven={"m": ["2"]})
    wanted = deployment({"1": None, "2": None}, split={"weights": {"1": 50, "2": 50}})
    found = compare(wanted, observed(running("1"), running("2"), split={"1": 100}), half)
    assert short(found) == ["prove 2", "gateway"]


def test_workers_that_are_not_ready_are_waited_for() -> None:
    """Done is done when they answer."""
    found = compare(deployment({"1": {"workers": 2}}), observed(running("1", 2, ready=1)))
    assert found.steps[0].text == "m 1: wait for its workers: 1 of 2 are READY"


def test_what_a_person_registered_stays_unless_pruned() -> None:
    """A tool that takes away what somebody registered by hand is rude; what a deployment brought is its own."""
    found = compare(deployment({"1": None}), observed(running("1"), running("9")))
    assert found == Differences([], ["m 9: registered by hand, left as it is; --prune unregisters it"], [])
    assert short(compare(deployment({"1": None}), observed(running("1"), running("9")), prune=True)) == ["unregister 9"]
    assert short(compare(deployment({"1": None}), observed(running("1"), running("2")))) == ["unregister 2"]


def test_a_model_that_is_no_longer_wanted_goes_default_last() -> None:
    """TorchServe keeps a default while others are there; where others stay, one of them becomes it."""
    other = Deployment.model_validate({"models": {"n": {"default": "1", "versions": {"1": None}}}})
    found = Observed({"m": {"1": running("1"), "2": running("2")}}, {"m": "1"})
    steps = short(differences(other, [], found, OURS, Rules()))
    assert steps[-2:] == ["unregister 2", "unregister 1"]
    found = Observed({"m": {"1": running("1"), "9": running("9")}}, {"m": "1"})
    assert short(differences(other, [], found, OURS, Rules()))[-2:] == ["default 9", "unregister 1"]


def test_an_open_rollout_is_not_disturbed() -> None:
    """Its split stays, and its arms; what else is wanted waits for it."""
    rolling = {"m": "m: a rollout of 2 is open: finish it, or roll it back"}
    wanted = deployment({"1": None, "2": None}, split={"weights": {"1": 50, "2": 50}})
    found = compare(wanted, observed(running("1"), running("2"), split={"1": 100}), rolling=rolling)
    assert found.refused == [f"{rolling['m']}; until then its split is not changed"]
    found = compare(deployment({"1": None}), observed(running("1"), running("2"), gateway=True), rolling=rolling)
    assert found.refused == [f"{rolling['m']}; until then nothing of it is unregistered"]
    same = compare(wanted, observed(running("1"), running("2"), split={"1": 50, "2": 50}), rolling=rolling)
    assert same == Differences([], [], [])
