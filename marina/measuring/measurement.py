"""What was measured of a load."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marina.measuring.order import Answers

GOOD = 200
NEARLY_ALL = 0.8  # of its one core: from here on the generator makes requests wait
KEPT_UP = 0.95  # of the requests that were due
LATE = 0.1  # of the median latency
LATE_SECONDS = 0.001  # what it takes to wake up is less
PERCENTILES = (50, 90, 95, 99)


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
        return self._came(self._good) / self.seconds

    def percentile(self, p: float) -> float:
        """The latency in seconds that p percent of the good answers were not above; NaN where there were none."""
        return float(np.percentile(self.latencies, p)) if self.latencies.size else float("nan")

    @property
    def load(self) -> str:
        """What was put on the server, in words."""
        return f"{self.connections} connections" if self.rate is None else f"{self.rate:g} a second"

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
    def kept_up(self) -> bool:
        """Whether good answers came as fast as requests were due, or nearly; always in a closed loop."""
        return self.rate is None or self._came(self._good) >= KEPT_UP * self.rate * self.seconds - 1

    @property
    def lateness(self) -> float:
        """Seconds of a latency that are the generator's own.

        In an open loop by how much later than was due it sent though a connection was free (median); in a closed one how long it
        waited for a processor, by answer.
        """
        if self.rate is None:
            return self.answers.waited_seconds / max(self.sent, 1)
        late = (self.answers.sent - self.answers.due)[self._measured & self.answers.free]
        return float(np.median(late)) if late.size else 0.0

    @property
    def warnings(self) -> list[str]:
        """Why the figures may say something else than how fast the server is."""
        return [
            text
            for text in (self._generator_warning(), self._late_warning(), self._rate_warning(), self._failure_warning())
            if text
        ]

    def document(self) -> dict[str, Any]:
        """Its figures for a program, in the units that their names say."""
        latencies = {f"p{p}": self.percentile(p) for p in PERCENTILES} | {"max": self.percentile(100)}
        return {
            "connections": self.connections,
            "rate_per_second": self.rate,
            "seconds": self.seconds,
            "throughput_per_second": round(self.throughput, 3),
            "latency_seconds": {name: None if isnan(value) else round(value, 6) for name, value in latencies.items()},
            "sent": self.sent,
            "statuses": {str(status): count for status, count in self.statuses.items()},
            "without_answer": self.cut,
            "unsent": self.answers.unsent,
            "kept_up": self.kept_up,
            "generator_share": round(self.generator_share, 3),
            "generator_late_seconds": round(self.lateness, 6),
            "examples": self.answers.examples,
            "warnings": self.warnings,
        }

    def _generator_warning(self) -> str | None:
        if self.generator_share < NEARLY_ALL:
            return None
        return f"the load generator used {self.generator_share:.0%} of its one core: what was measured is it, not the server"

    def _late_warning(self) -> str | None:
        if not self.lateness > max(LATE * self.percentile(50), LATE_SECONDS):
            return None
        return (
            f"the load generator lacked processor time: some {self.lateness * 1000:.1f} ms of the latencies are its own, "
            f"of {self.percentile(50) * 1000:.1f} ms in the median"
        )

    def _rate_warning(self) -> str | None:
        came = self._came(self.answers.status > 0)
        if self.rate is None or came >= KEPT_UP * self.rate * self.seconds - 1:
            return None
        waiting = f" over {self.connections} connections, for which {self.answers.unsent} requests still waited at the end"
        return (
            f"{came / self.seconds:.4g} answers a second came of the {self.rate:g} that were due"
            f"{waiting * bool(self.answers.unsent)}: latencies grow as long as the load lasts"
        )

    def _failure_warning(self) -> str | None:
        if not self.failed:
            return None
        kinds = [f"{count} × {status}" for status, count in self.statuses.items() if status != GOOD]
        kinds += [f"{self.cut} without an answer"] * bool(self.cut)
        return f"{self.failed} of {self.sent} requests failed: {', '.join(kinds)}"

    def _came(self, which: NDArray[np.bool_]) -> int:
        """How many of these answers came within the time."""
        ended = self.answers.ended
        return int(np.sum(which & (ended >= 0) & (ended < self.seconds)))

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
