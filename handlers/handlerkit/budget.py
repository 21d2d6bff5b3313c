"""How much of an explanation fits into its time."""

from __future__ import annotations

import time
from collections.abc import Callable


def affordable(once: Callable[[], object], wanted: int, seconds: float, least: int = 2) -> int:
    """How often something can be done within ``seconds``, by the time that it takes ``once``: from least to wanted."""
    started = time.perf_counter()
    once()
    taken = time.perf_counter() - started
    return max(min(least, wanted), min(wanted, int(seconds / max(taken, 1e-6))))
