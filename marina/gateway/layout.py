"""Which part of all keys goes to which arm, so that a change of weights moves no more callers than it must.

Envoy takes a key's hash modulo 10,000 and looks in whose interval it falls. The first arm has what the others leave. Each
other arm begins at a place of its own (0, a half, a quarter, …) and grows to the right from there, so that who had it
keeps it, and what others had is untouched until the whole is crowded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import groupby

from marina.comparing.split import WHOLE


def intervals(parts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Arms with the lengths of their intervals, left to right.

    Args:
        parts: of WHOLE, by version.
    """
    first, *others = sorted(parts, key=natural)
    taken: dict[int, str] = {}
    for number, version in enumerate(others):
        free = (place % WHOLE for place in range(_home(number), _home(number) + WHOLE) if place % WHOLE not in taken)
        taken |= {place: version for place, _ in zip(free, range(parts[version]), strict=False)}
    owners = (taken.get(place, first) for place in range(WHOLE))
    return [(version, len(list(places))) for version, places in groupby(owners)]


def natural(version: str) -> list[tuple[int, int, str]]:
    """A key to sort versions by: numbers as numbers, so that 10.0 comes behind 9.0."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.findall(r"\d+|\D+", version)]


def _home(number: int) -> int:
    """Where an arm begins: 0, 1/2, 1/4, 3/4, 1/8, … of WHOLE; that of one arm does not depend on how many there are."""
    place, step = 0.0, 0.5
    while number:
        place, number, step = place + step * (number % 2), number // 2, step / 2
    return int(place * WHOLE)
