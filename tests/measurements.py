"""Measurements of loads that were never put on anything."""

from __future__ import annotations

import numpy as np

from marina.measuring.measurement import Measurement
from marina.measuring.order import Answers


def measurement(latencies: list[float], *, seconds: float = 1.0) -> Measurement:
    """A closed loop's, of good answers that all came in time."""
    waited = np.array(latencies)
    due = np.zeros(len(latencies))
    good = np.full(len(latencies), 200)
    answers = Answers(due, due, due + waited, good, good > 0, np.empty(0), 0, {}, 0.1, 0.0, None)
    return Measurement(answers, seconds, None, 1)


def opened(rate: float, answers: int) -> Measurement:
    """An open loop of a second, of which so many answers came in time."""
    due = np.linspace(0, 0.9, answers)
    found = Answers(due, due, due + 0.01, np.full(answers, 200), due >= 0, np.empty(0), 0, {}, 0.1, 0.0, None)
    return Measurement(found, 1.0, rate, 8)
