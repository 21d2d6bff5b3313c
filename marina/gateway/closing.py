"""Close a gateway that is to end: callers have their answers first."""

from __future__ import annotations

import time

from marina.gateway.routes import CLOSE
from marina.gateway.stats import Stats
from marina.serving.polling import wait_for

IN_WORK, CONNECTIONS = "http.callers.downstream_rq_active", "http.callers.downstream_cx_active"
IDLE_SECONDS = 1.0  # for callers to be told, with an answer, that their connection ends
LOOK_SECONDS = 0.02


def close(stats: Stats, seconds: float) -> bool:
    """Take no new connection, have callers close theirs, and wait for what is in work.

    Args:
        stats: of the gateway.
        seconds: to wait at most.

    Returns:
        Whether all was answered.

    Raises:
        MarinaError: the gateway does not answer.
    """
    for path in ("/healthcheck/fail", CLOSE):  # the first has each answer say that the connection ends
        stats.post(path)
    idle_ends = time.monotonic() + IDLE_SECONDS

    def is_done() -> bool:
        active = stats.texts(r"^http\.callers\.downstream_(rq|cx)_active$")  # neither is there before the first connection
        return active.get(IN_WORK, "0") == "0" and (active.get(CONNECTIONS, "0") == "0" or time.monotonic() > idle_ends)

    return bool(wait_for(is_done, seconds, LOOK_SECONDS))
