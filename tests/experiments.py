"""Experiments whose truth is known, made of random numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from marina.comparing.traffic_rows import Observations, SplitChange

HALVES = [SplitChange(0.0, "digits", "digits", {"1.0": 50.0, "2.0": 50.0})]

Draw = Callable[[np.random.Generator, NDArray[np.bool_]], NDArray[np.float64]]


def experiment(requests: int, draw: Draw, keys: int | None = None, seed: int = 1, percent: float = 50) -> Observations:
    """Requests of versions 1.0 and 2.0, one a second.

    Args:
        requests: how many.
        draw: values, given which requests are 2.0's.
        keys: from which each request's is drawn; every request has its own where None.
        seed: of the random numbers.
        percent: of the keys that 2.0 has.
    """
    random = np.random.default_rng(seed)
    key = np.arange(requests) if keys is None else random.integers(keys, size=requests)
    treated = (random.random(int(key.max()) + 1) < percent / 100)[key]
    time = 1000 + np.arange(requests, dtype=float)
    return Observations(time, time, key, np.where(treated, "2.0", "1.0"), draw(random, treated))


def normal(effect: float = 0.0, mean: float = 10.0) -> Draw:
    """Numbers around a mean, whose standard deviation is 1."""
    return lambda random, treated: random.normal(mean, size=len(treated)) + effect * treated


def binary(control: float, other: float) -> Draw:
    """1 with the probability of the arm."""
    return lambda random, treated: (random.random(len(treated)) < np.where(treated, other, control)).astype(float)


def constant(control: float, other: float) -> Draw:
    """Always the same in an arm."""
    return lambda _, treated: np.where(treated, other, control).astype(float)
