"""What the traffic record holds, a class for each kind of row; keys are hashed, times are Unix seconds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Request:
    """A request and what became of it."""

    request_id: str
    time: float
    model: str
    route: str
    status: int
    experiment: str | None = None
    key: str | None = None
    key_from: str | None = None
    assigned: str | None = None
    answered: str | None = None
    first_status: int | None = None
    seconds: float | None = None
    attempts: int | None = None
    shadow: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of a request, or of a key within an experiment; ``id`` makes it the same one when it comes again."""

    id: str
    metric: str
    value: float
    time: float
    request_id: str | None = None
    experiment: str | None = None
    key: str | None = None


@dataclass(frozen=True)
class Event:
    """What happened to a model's split at a time: a rollout's step, a rollback."""

    time: float
    model: str
    kind: str
    text: str


@dataclass(frozen=True)
class SplitChange:
    """From when on which weights were in force, in percent by version."""

    time: float
    model: str
    experiment: str
    weights: dict[str, float]


@dataclass(frozen=True)
class Agreement:
    """A request that two versions answered, one of them in the shadow."""

    request_id: str
    time: float
    model: str
    kind: str
    live: str
    shadow: str
    same_label: bool | None
    distance: float | None
    live_seconds: float | None
    shadow_seconds: float | None


@dataclass(frozen=True)
class Observations:
    """One value a row, in the order in which they became known.

    Attributes:
        time: of the request, Unix seconds: by it a row belongs to a split.
        known: when the value was there; that of an outcome is later than its request's.
        key: a number for each sticky key. A request without one was assigned alone, and is a unit of its own.
        assigned: the arm that the split chose, whichever answered.
        value: the metric's; 0 or 1 for what is or is not so.
    """

    time: NDArray[np.float64]
    known: NDArray[np.float64]
    key: NDArray[np.int64]
    assigned: NDArray[np.str_]
    value: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.value)
