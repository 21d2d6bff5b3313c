"""How much of an explanation fits into its time."""

from __future__ import annotations

import time
from collections.abc import Callable


def affordable(once: Callable[[], object], wanted: int, seconds: float, least: int = 2) -> int:
    """How often something can be done within ``seconds``, by the time that it takes ``once``: from least to wanted.

    Where that is less than wanted it is timed again, and the shorter time counts: one slow moment of a busy machine is no
    slow network, and the same request should have the same answer.
    """
    fitting = int(seconds / _taken(once))
    if fitting < wanted:
        fitting = max(fitting, int(seconds / _taken(once)))
    return max(min(least, wanted), min(wanted, fitting))


def _taken(once: Callable[[], object]) -> float:
    started = time.perf_counter()
    once()
    return max(time.perf_counter() - started, 1e-6)
