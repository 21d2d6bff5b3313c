"""What a rollout is and how far it has come: remembered at every change, so that another process can go on with it.

``state/rollouts/<model>.json`` is where it stands, ``<model>.jsonl`` all that happened, a line each. The process that carries
a rollout on holds a lock, which goes with it however it ends; whoever changes where it stands, a person's roll_back.py too,
holds another for that moment.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from filelock import Timeout
from pydantic import BaseModel, ConfigDict

from marina.comparing.guardrails import Bounds, Counts
from marina.comparing.split import WHOLE, Shadow, Split
from marina.errors import MarinaError
from marina.paths import State
from marina.remembering import changing, lock_beside, recall, remember, unwritable

Status = Literal["running", "paused", "rolling back", "rolled back", "done"]
OPEN = ("running", "paused", "rolling back")


class Rollout(BaseModel):
    """One rollout.

    Attributes:
        model: whose.
        candidate: the version that is rolled out.
        current: the arm that it is compared with: the one with most weight before.
        steps: percent of the requests that the candidate gets, one after the other.
        bake_seconds: how long each step is watched at least.
        max_bake_seconds: how long at most, where there are too few requests.
        min_requests: that the candidate must have had in a step before the next.
        bounds: how much worse it may be.
        before: the split to go back to.
        shadow: by which the candidate gets copies while it is rolled out, so that its answers are compared; None where the
            rollout asks for none.
        before_shadow: the shadow to go back to.
        file_weights: what the deployment says.
        began: when.
        status: how it stands.
        position: the step that it is at, -1 where the candidate is first judged by the weight that it had.
        looks: how often it was judged.
        compared: what the current arm did in the last step in which it had requests.
        reason: why it stands as it does, in a sentence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    model: str
    candidate: str
    current: str
    steps: list[float]
    bake_seconds: float
    max_bake_seconds: float
    min_requests: int
    bounds: Bounds
    before: Split
    shadow: Shadow | None = None
    before_shadow: Shadow | None = None
    file_weights: dict[str, float]
    began: datetime
    status: Status = "running"
    position: int = -1
    looks: int = 0
    compared: Counts = Counts()
    reason: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.status in OPEN

    @property
    def percent(self) -> float:
        """What the candidate has at this step."""
        return self.split.weights.get(self.candidate, 0.0)

    @property
    def split(self) -> Split:
        """How requests are shared at this step."""
        return shared(self.before, self.candidate, self.steps[self.position]) if self.position >= 0 else self.before

    @property
    def is_copied(self) -> bool:
        """Whether the rollout's own shadow is on at this step: not where no other arm is left to compare with."""
        return self.shadow is not None and self.percent < 100

    def __str__(self) -> str:
        return f"{self.model}: rollout of {self.candidate}, {self.status} at {self.percent:g} %"


def shared(before: Split, candidate: str, percent: float) -> Split:
    """A split in which a candidate has a share, and the other arms the rest as they had it before."""
    whole, ours = WHOLE, round(percent * 100)
    others = {version: part for version, part in before.parts.items() if version != candidate}
    rest, total = whole - ours, sum(others.values())
    parts = {version: part * rest // total for version, part in others.items()}
    largest = max(others, key=lambda version: others[version])
    parts[largest] += rest - sum(parts.values())
    order = [*before.weights, *([candidate] if candidate not in before.weights else [])]
    return before.model_copy(update={"weights": {one: (parts | {candidate: ours})[one] / 100 for one in order}})


def steps_from(before: Split, candidate: str, steps: list[float]) -> list[float]:
    """The steps above what a candidate has: callers whom it answers already are not taken away from it."""
    return [step for step in steps if step > before.weights.get(candidate, 0.0)]


class Record:
    """The rollout of a model, as it is remembered."""

    def __init__(self, state: State, model: str) -> None:
        self.model = model
        self.file: Path = state.rollouts / f"{model}.json"
        self.lines: Path = state.rollouts / f"{model}.jsonl"
        self._owner: Path = state.rollouts / f"{model}.owner"

    def read(self) -> Rollout | None:
        """Where the last rollout stands, or None.

        Raises:
            MarinaError: the file is corrupt.
        """
        return recall(self.file, Rollout)

    def write(self, rollout: Rollout) -> None:
        """Remember where it stands.

        Raises:
            MarinaError: the file cannot be written.
        """
        remember(self.file, rollout)

    @contextmanager
    def changing(self) -> Iterator[Rollout | None]:
        """Be alone while its state is changed."""
        with changing(self.file):
            yield self.read()

    @contextmanager
    def carried_on(self) -> Iterator[None]:
        """Be the process that carries it on.

        Raises:
            MarinaError: another one is.
        """
        lock = lock_beside(self._owner)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise MarinaError(f"{self.read() or self.model}: another process carries it on: {self.how_to_end}") from error
        try:
            yield
        finally:
            lock.release()

    @property
    def is_carried_on(self) -> bool:
        """Whether a process carries it on."""
        lock = lock_beside(self._owner)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        lock.release()
        return False

    @property
    def how_to_end(self) -> str:
        """What a person can do with one that is open."""
        return f"wait, or scripts/roll_out.py {self.model} --pause, or scripts/roll_back.py {self.model}"

    def note(self, rollout: Rollout, event: str, text: str, **more: object) -> None:
        """Add a line to what happened.

        Raises:
            MarinaError: it cannot be written.
        """
        line = {
            "time": datetime.now(UTC).isoformat(),
            "began": rollout.began.isoformat(),
            "candidate": rollout.candidate,
            "event": event,
            "percent": rollout.percent,
            "weights": rollout.split.weights,
            "text": text,
            **more,
        }
        try:
            with self.lines.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise unwritable(self.lines, error) from error


def open_rollouts(state: State) -> dict[str, str]:
    """Models of which a rollout has not ended, each with a sentence on what to do.

    Raises:
        MarinaError: a record is corrupt.
    """
    found: dict[str, str] = {}
    for file in sorted(state.rollouts.glob("*.json")):
        record = Record(state, file.stem)
        rollout = record.read()
        if rollout and rollout.is_open:
            resume = f"scripts/roll_out.py {record.model} --resume"
            how = record.how_to_end if record.is_carried_on else f"{resume}, or scripts/roll_back.py {record.model}"
            found[record.model] = f"{rollout}: {how}"
    return found
