"""How often a server that ended by itself is started again: one that ends time and again has a reason that no start mends."""

from __future__ import annotations

import time
from collections.abc import Callable

from marina.errors import MarinaError

WITHIN_SECONDS = 300.0
LONGER_SECONDS = 5.0


class StartsAgain:
    """The restarts of the last five minutes."""

    def __init__(self, allowed: int, now: Callable[[], float] = time.monotonic) -> None:
        """None so far.

        Args:
            allowed: within WITHIN_SECONDS.
            now: seconds of a clock that never goes back.
        """
        self._allowed = allowed
        self._now = now
        self._taken: list[float] = []

    def take(self) -> float:
        """Count one more; returns the seconds to wait before it: none the first time, and longer each time.

        Raises:
            MarinaError: it would be one too many.
        """
        now = self._now()
        self._taken = [at for at in self._taken if at > now - WITHIN_SECONDS]
        if len(self._taken) >= self._allowed:
            in_vain = (
                f"; restarts within {WITHIN_SECONDS / 60:g} minutes that did not help: {self._allowed}" if self._allowed else ""
            )
            raise MarinaError(f"TorchServe has ended{in_vain}")
        self._taken.append(now)
        return (len(self._taken) - 1) * LONGER_SECONDS
