"""How requests are shared between versions, as ``config/deployment.yaml`` says it."""

from __future__ import annotations

from decimal import Decimal

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from marina.reading import Strict

WHOLE = 10_000  # hundredths of a percent: the steps that a gateway shares requests in
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


class Sticky(Strict):
    """By what a caller is known again: the header where a request has it, else the cookie, else a fresh cookie."""

    header: str | None = Field("X-User-Id", pattern=NAME)
    cookie: str | None = Field("marina-user", pattern=NAME)

    @model_validator(mode="after")
    def _has_one(self) -> Sticky:
        if self.header is None and self.cookie is None:
            raise ValueError("a header or a cookie is required; found neither")
        return self


class Split(Strict):
    """Arms with their weights.

    Attributes:
        experiment: what salts the assignment; another name assigns every caller anew. The model's name where none is given.
        weights: percent by version, 100 together, in steps of 0.01.
        sticky: by what a caller is known again.
    """

    weights: dict[str, float] = Field(min_length=1)
    experiment: str | None = Field(None, pattern=NAME)
    sticky: Sticky = Sticky()

    @field_validator("weights")
    @classmethod
    def _share_all(cls, weights: dict[str, float]) -> dict[str, float]:
        for version, weight in weights.items():
            if not 0 <= weight <= 100 or Decimal(str(weight)) != round(Decimal(str(weight)), 2):
                raise ValueError(f"the weight of {version} must be 0 to 100 percent, in steps of 0.01; found {weight:g}")
        total = sum((Decimal(str(weight)) for weight in weights.values()), Decimal())
        if total != 100:
            raise ValueError(f"weights are percent, 100 together; found {total.normalize():f}")
        return weights

    @property
    def parts(self) -> dict[str, int]:
        """The weights as parts of WHOLE."""
        return {version: round(Decimal(str(weight)) * 100) for version, weight in self.weights.items()}

    def is_as(self, other: Split) -> bool:
        """Whether both share requests alike; an arm without weight is none."""
        ours, theirs = ({version: part for version, part in one.parts.items() if part} for one in (self, other))
        return ours == theirs

    def __str__(self) -> str:
        return ", ".join(f"{version} {weight:g} %" for version, weight in self.weights.items())


class Shadow(Strict):
    """A version that gets copies of requests; its answers reach nobody.

    Attributes:
        version: which.
        percent: of the requests that are copied, above 0 to 100.
        in_flight: copies that it works on at most; further ones are dropped.
    """

    version: str
    percent: float = Field(gt=0, le=100)
    in_flight: PositiveInt = 4


class Payloads(Strict):
    """Requests of callers that are kept whole, to be asked of a new version before it gets callers. None are unless asked.

    Attributes:
        percent: of the requests that name no version, above 0 to 100.
        most: how many are kept: the latest.
        largest_bytes: of a request's body; larger ones are not kept.
        keep_days: after which each is deleted.
    """

    percent: float = Field(gt=0, le=100)
    most: PositiveInt = 100
    largest_bytes: PositiveInt = 1_000_000
    keep_days: PositiveFloat = 7


class Objectives(Strict):
    """What a model's callers are promised; rollouts and alerts compare with it.

    Attributes:
        p99_ms: milliseconds that 99 of 100 answers stay below.
        errors_percent: of the answers that are the server's fault (5xx), at most.
    """

    p99_ms: PositiveFloat | None = None
    errors_percent: float = Field(1.0, gt=0, le=100)


class Limits(Strict):
    """What one arm takes.

    Attributes:
        in_flight: requests at once; above it callers get 429 with Retry-After. Keep it below TorchServe's job_queue_size
            (100 by default), else callers get 503.
    """

    in_flight: PositiveInt = 64
