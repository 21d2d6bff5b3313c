"""How much one request may ask for; over a limit it is refused with the limit in the text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """The ``limits`` of a spec.

    Attributes:
        megabytes: of one row's payload, once unwrapped.
        rows: inputs in one request.
    """

    megabytes: float = 32
    rows: int = 64

    def __post_init__(self) -> None:
        """Refuse limits that let nothing through."""
        if self.megabytes <= 0 or self.rows < 1:
            raise ValueError("megabytes must be above 0 and rows at least 1")
