"""Outcomes as others give them: checked one by one, refused with the reason, their keys hashed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr, ValidationError, field_validator, model_validator

from marina.comparing.hashed_keys import HashedKeys
from marina.comparing.observing import BUILT_IN
from marina.comparing.split import NAME
from marina.comparing.traffic_rows import Outcome
from marina.reading import Strict, complaints, shown

AHEAD_SECONDS = 300.0  # that another machine's clock may be ahead of ours
MILLISECONDS = 1e11  # no time in seconds before the year 5138 is as large
SHOWN = 100  # refusals of one batch that are told; there may be a million
Text = Annotated[StrictStr, Field(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f]*$")]


class GivenOutcome(Strict):
    """One outcome.

    Attributes:
        metric: what was measured, "correct" or "seconds_to_click".
        value: true, false or a number.
        request_id: of the request that it is an outcome of, as the gateway gave it (X-Request-Id); or
        experiment: in which
        key: was known by this: what the sticky header or cookie had.
        time: when it happened, RFC 3339 with its zone, or Unix seconds; without it now.
        id: by which it is the same one when it comes again; without it the metric of the request, or of the key.
    """

    metric: str = Field(pattern=NAME, max_length=100)
    value: StrictBool | StrictInt | StrictFloat
    request_id: Text | None = None
    experiment: str | None = Field(None, pattern=NAME)
    key: Text | None = None
    time: StrictStr | StrictInt | StrictFloat | None = None
    id: Text | None = None

    @field_validator("metric")
    @classmethod
    def _is_not_ours(cls, metric: str) -> str:
        if metric in BUILT_IN:
            raise ValueError(f"{metric} is measured by the gateway: name yours otherwise")
        return metric

    @field_validator("value", mode="before")
    @classmethod
    def _is_a_number(cls, value: Any) -> Any:
        if isinstance(value, bool) or (isinstance(value, (int, float)) and _is_finite(value)):
            return value
        raise ValueError(f"must be true, false or a finite number; found {shown(value)}")

    @field_validator("time")
    @classmethod
    def _in_seconds(cls, given: str | float | None) -> float | None:
        return None if given is None else _unix_seconds(given)

    @model_validator(mode="after")
    def _is_of_something(self) -> GivenOutcome:
        of_request, of_key = self.request_id is not None, self.key is not None and self.experiment is not None
        if of_request == of_key or (of_request and (self.key or self.experiment)):
            raise ValueError("request_id is required, or key and experiment; not both")
        return self


@dataclass(frozen=True)
class Refusal:
    """Which one of a batch is wrong, and why."""

    line: int
    reason: str


@dataclass
class OutcomeReader:
    """Makes rows of outcomes.

    Attributes:
        keys: by which keys are hashed.
        now: Unix seconds, the time of outcomes that give none.
        keep_seconds: how long the record keeps what it has; older outcomes are refused, as they would be deleted at once.
        refusals: of the outcomes that were wrong, the first SHOWN.
        refused: how many were wrong.
    """

    keys: HashedKeys
    now: float
    keep_seconds: float
    refusals: list[Refusal] = field(default_factory=list)
    refused: int = 0

    def rows(self, given: Iterable[tuple[int, Any]]) -> Iterator[Outcome]:
        """The rows of numbered outcomes; those that are wrong are left out and noted in ``refusals``."""
        for line, content in given:
            try:
                yield self._row(GivenOutcome.model_validate(content))
            except ValidationError as error:
                self.refuse(line, "; ".join(_plain(complaints(error, GivenOutcome))))
            except ValueError as error:
                self.refuse(line, str(error))

    def refuse(self, line: int, reason: str) -> None:
        """Note one that is wrong."""
        self.refused += 1
        if len(self.refusals) < SHOWN:
            self.refusals.append(Refusal(line, reason))

    def _row(self, given: GivenOutcome) -> Outcome:
        at = self.now if given.time is None else float(given.time)
        if at > self.now + AHEAD_SECONDS:
            raise ValueError("'time' has not come yet")
        if at < self.now - self.keep_seconds:
            raise ValueError(f"'time' is longer ago than the record keeps what it has ({self.keep_seconds / 86_400:g} days)")
        key = None if given.key is None else self.keys.of(given.key)
        of_which = f"request:{given.request_id}" if given.request_id else f"key:{given.experiment}:{key}"
        name = f"id:{given.id}" if given.id else f"{of_which}:{given.metric}"
        return Outcome(name, given.metric, float(given.value), at, given.request_id, given.experiment, key)


def _unix_seconds(given: str | float) -> float:
    if not isinstance(given, str):
        if not _is_finite(given) or given < 0:
            raise ValueError(f"must be Unix seconds; found {shown(given)}")
        if given > MILLISECONDS:
            raise ValueError(f"must be in seconds; {given:.0f} looks like milliseconds")
        return float(given)
    try:
        at = datetime.fromisoformat(given)
    except ValueError as error:
        raise ValueError(f"must be a time as 2026-11-21T09:30:00Z, or Unix seconds; found {shown(given)}") from error
    if at.tzinfo is None:
        raise ValueError(f"must say its zone: {given}Z, or {given}+01:00")
    return at.timestamp()


def _is_finite(number: float) -> bool:
    """JSON has whole numbers that no float holds."""
    try:
        return math.isfinite(number)
    except OverflowError:
        return False


def _plain(found: list[str]) -> list[str]:
    """Pydantic's words, without its name for each type that a value may have had."""
    shorter = (re.sub(r"\.(?:constrained-str|str|int|float|bool)'", "'", one) for one in found)
    return list(dict.fromkeys(shorter))
