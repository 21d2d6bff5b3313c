"""A line of the gateway's access log, and the row that is made of it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, Field, FiniteFloat, ValidationError

from marina.comparing.hashed_keys import HashedKeys
from marina.comparing.traffic_rows import Request

NAME = 200  # characters that a name may have; more is nobody's model
Status = Annotated[int, Field(ge=0, le=999)]


class AccessLine(BaseModel):
    """What the gateway says of a request; the key is as the caller gave it, and leaves this process only hashed."""

    time: AwareDatetime
    request_id: str = Field(min_length=1, max_length=NAME)
    model: str = Field(min_length=1, max_length=NAME)
    route: str
    status: Status
    experiment: str | None = None
    key: str | None = None
    key_from: str | None = None
    assigned: str | None = None
    answered: str | None = None
    first_status: Status | None = None
    attempts: int | None = Field(None, ge=0, le=1000)
    seconds: FiniteFloat | None = None
    microseconds: FiniteFloat | None = None  # the same, more exactly
    sampled_shadow: str | None = None

    def row(self, keys: HashedKeys) -> Request:
        """Its row, with the key hashed."""
        return Request(
            request_id=self.request_id,
            time=self.time.timestamp(),
            model=self.model,
            route=self.route,
            status=self.status,
            experiment=self.experiment,
            key=None if self.key is None else keys.of(self.key),
            key_from=self.key_from,
            assigned=self.assigned,
            answered=self.answered,
            first_status=self.first_status,
            seconds=self.seconds if self.microseconds is None else self.microseconds / 1e6,
            attempts=self.attempts,
            shadow=self.sampled_shadow,
        )


def access_line(content: dict[str, Any]) -> AccessLine | None:
    """The line of a JSON object; None where it is none."""
    try:
        return AccessLine.model_validate(content)
    except ValidationError:
        return None
