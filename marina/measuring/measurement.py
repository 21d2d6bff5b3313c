"""What was measured of a load."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from marina.measuring.order import Answers

GOOD = 200
NEARLY_ALL = 0.8  # of its one core: from here on the generator makes requests wait
KEPT_UP = 0.98  # of the requests that were due
LATE_SECONDS = 0.005


@dataclass(frozen=True)
class Measurement:
    """What came of a load, from the end of its warm-up.

    Attributes:
        answers: every answer, the warm-up's too.
        seconds: that were measured.
        rate: requests a second that were due; None in a closed loop.
        connections: that there were at most.
    """

    answers: Answers
    seconds: float
    rate: float | None
    connections: int

    @cached_property
    def latencies(self) -> NDArray[np.float64]:
        """Seconds from the moment when a request was due until its answer had come, of good answers; in no order."""
        return self._waited[self._measured & self._good]

    @property
    def throughput(self) -> float:
        """Good answers a second: those that came within the time."""
        ended = self.answers.ended
        return float(np.sum(self._good & (ended >= 0) & (ended < self.seconds))) / self.seconds

    def percentile(self, p: float) -> float:
        """The latency in seconds that p percent of the good answers were not above; NaN where there were none."""
        return float(np.percentile(self.latencies, p)) if self.latencies.size else float("nan")

    @property
    def sent(self) -> int:
        """Requests that were sent within the time."""
        return int(np.sum(self._measured)) + self.cut

    @property
    def statuses(self) -> dict[int, int]:
        """How many answers of each status came to them."""
        return dict(sorted(Counter(map(int, self.answers.status[self._measured])).items()))

    @property
    def cut(self) -> int:
        """Requests to which no answer came."""
        return int(np.sum(self.answers.cut >= 0))

    @property
    def failed(self) -> int:
        """Requests to which no good answer came."""
        return self.sent - int(self.latencies.size)

    @property
    def generator_share(self) -> float:
        """Part of the one core that the generator can use, from 0 to 1."""
        return self.answers.processor_seconds / self.seconds

    @property
    def warnings(self) -> list[str]:
        """Why the figures may say something else than how fast the server is."""
        return [text for text in (self._generator_warning(), self._rate_warning(), self._failure_warning()) if text]

    def _generator_warning(self) -> str | None:
        if self.generator_share < NEARLY_ALL:
            return None
        return f"the load generator used {self.generator_share:.0%} of its one core: what was measured is it, not the server"

    def _rate_warning(self) -> str | None:
        if self.rate is None:
            return None
        due = self.sent + self.answers.unsent
        if self.sent < KEPT_UP * due:
            return (
                f"{self.answers.unsent} of {due} requests were never sent, since all {self.connections} connections were in use: "
                f"{self.rate:g} a second is more than the server answers"
            )
        return None

    def _failure_warning(self) -> str | None:
        if not self.failed:
            return None
        kinds = [f"{count} × {status}" for status, count in self.statuses.items() if status != GOOD]
        kinds += [f"{self.cut} without an answer"] * bool(self.cut)
        return f"{self.failed} of {self.sent} requests failed: {', '.join(kinds)}"

    @cached_property
    def _waited(self) -> NDArray[np.float64]:
        return self.answers.ended - self.answers.due

    @cached_property
    def _measured(self) -> NDArray[np.bool_]:
        began = (
            self.answers.due if self.rate is None else self.answers.ended
        )  # an overloaded open loop answers what was due before
        return np.asarray((began >= 0) & (self.answers.due < self.seconds))

    @cached_property
    def _good(self) -> NDArray[np.bool_]:
        return np.asarray(self.answers.status == GOOD)
