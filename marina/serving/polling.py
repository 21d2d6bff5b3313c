"""Wait until something is so: the one place that sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")
INTERVAL_SECONDS = 0.25


def wait_for(probe: Callable[[], Value | None], seconds: float, interval: float = INTERVAL_SECONDS) -> Value | None:
    """What ``probe`` returns as soon as that is true, or None where it is not within ``seconds``."""
    end = time.monotonic() + seconds
    while not (value := probe()):
        if time.monotonic() >= end:
            return None
        time.sleep(interval)
    return value


def pause(seconds: float) -> None:
    """Let time pass, where there is nothing to wait for but time itself."""
    time.sleep(seconds)
