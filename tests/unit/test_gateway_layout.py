"""Which keys go to which arm: a change of weights moves no more callers than it must."""

from __future__ import annotations

import pytest

from marina.comparing.split import WHOLE
from marina.gateway.layout import intervals

Parts = dict[str, int]


def owners(parts: Parts) -> list[str]:
    """The arm of each part of the whole."""
    return [version for version, length in intervals(parts) for _ in range(length)]


@pytest.mark.parametrize(
    "parts",
    [
        {"1.0": WHOLE},
        {"1.0": 5000, "2.0": 5000},
        {"1.0": 9999, "2.0": 1},
        {"1.0": 0, "2.0": WHOLE},
        {"1.0": 3334, "2.0": 3333, "3.0": 3333},
        {"1": 100, "2": 9000, "3": 900},
        {"1": 2000, "2": 2000, "3": 2000, "4": 2000, "5": 2000},
    ],
)
def test_every_arm_has_its_weight_exactly(parts: Parts) -> None:
    """The intervals make the whole, and each arm's are as long as its weight."""
    found = owners(parts)
    assert len(found) == WHOLE
    assert {version: found.count(version) for version in parts} == parts


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"1.0": 9000, "2.0": 1000}, {"1.0": 8000, "2.0": 2000}),
        ({"1.0": 5000, "2.0": 5000}, {"1.0": 0, "2.0": WHOLE}),
        ({"1.0": 8000, "2.0": 1000, "3.0": 1000}, {"1.0": 7000, "2.0": 2000, "3.0": 1000}),
        ({"1.0": 8000, "2.0": 1000, "3.0": 1000}, {"1.0": 7000, "2.0": 1000, "3.0": 2000}),
        ({"1.0": 9000, "2.0": 1000}, {"1.0": 8000, "2.0": 1000, "3.0": 1000}),
    ],
)
def test_only_the_changed_share_moves_and_nobody_back(before: Parts, after: Parts) -> None:
    """Of two arms and of three, also when one joins: who moves goes to the arm that grew."""
    moved = [(was, now) for was, now in zip(owners(before), owners(after), strict=True) if was != now]
    grown = {version for version in after if after[version] > before.get(version, 0)}
    assert len(moved) == sum(after[version] - before.get(version, 0) for version in grown)
    assert {now for _, now in moved} <= grown


def test_the_order_in_which_arms_are_written_does_not_matter() -> None:
    """A rollout may name the arms the other way round; 10.0 comes behind 9.0."""
    assert intervals({"9.0": 9000, "10.0": 1000}) == intervals({"10.0": 1000, "9.0": 9000}) == [("10.0", 1000), ("9.0", 9000)]
