"""What a search has measured so far, kept after each step, so that a second run goes on where the first one stopped."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field

from marina.digests import digest_of
from marina.remembering import recall, remember
from marina.tuning.machine import Machine
from marina.tuning.objective import Served
from marina.tuning.search import Alone
from marina.tuning.space import Choice, Format, Layout, Point


class Build(Choice):
    """How the build of a format ended.

    Attributes:
        agreement: share of inputs whose best class is the one in fp32; None where the build does not measure it.
        accuracy: as the index has it, in words.
        reason: why there is no archive that may be served.
    """

    format: Format
    agreement: float | None = None
    accuracy: str | None = None
    reason: str | None = None


class AloneAt(Choice):
    """What a format did without a server, or why it did nothing."""

    format: Format
    layout: Layout
    measured: Alone | None = None
    reason: str | None = None


class Tried(Choice):
    """What was measured of a point, or why nothing was; more than once for those that were measured again."""

    point: Point
    served: Served | None = None
    reason: str | None = None


class Journal(Choice):
    """Everything that was measured under the same conditions.

    Attributes:
        conditions: a digest of what measurements depend on.
        rounds: of the finalists, which were measured in turns; each has them all.
    """

    conditions: str
    machine: Machine
    began: datetime = Field(default_factory=lambda: datetime.now(UTC))
    builds: tuple[Build, ...] = ()
    alone: tuple[AloneAt, ...] = ()
    tried: tuple[Tried, ...] = ()
    rounds: tuple[tuple[Tried, ...], ...] = ()

    def build_of(self, how: Format) -> Build | None:
        """How the build of a format ended, if it was tried."""
        return next((one for one in self.builds if one.format == how), None)

    def alone_at(self, how: Format, layout: Layout) -> AloneAt | None:
        """What was measured of a format without a server."""
        return next((one for one in self.alone if (one.format, one.layout) == (how, layout)), None)

    def at(self, point: Point) -> Tried | None:
        """What was measured of a point."""
        return next((one for one in self.tried if one.point == point), None)


class Kept:
    """A journal in a file, which is written anew with each entry."""

    def __init__(self, path: Path, conditions: str, machine: Machine) -> None:
        """Go on with the journal in a file; one of other conditions is of no use, and is replaced.

        Raises:
            MarinaError: the file cannot be read.
        """
        found = recall(path, Journal)
        self.path = path
        self.is_resumed = found is not None and found.conditions == conditions
        self.journal = found if found and self.is_resumed else Journal(conditions=conditions, machine=machine)

    def add(self, entry: Build | AloneAt | Tried) -> None:
        """Keep what was found.

        Raises:
            MarinaError: the file cannot be written.
        """
        kind = {Build: "builds", AloneAt: "alone", Tried: "tried"}[type(entry)]
        self._keep(**{kind: (*getattr(self.journal, kind), entry)})

    def add_round(self, measured: tuple[Tried, ...]) -> None:
        """Keep a round of the finalists."""
        self._keep(rounds=(*self.journal.rounds, measured))

    def _keep(self, **changes: object) -> None:
        self.journal = self.journal.model_copy(update=changes)
        remember(self.path, self.journal)


def conditions_of(*parts: str) -> str:
    """A digest of what measurements depend on."""
    return digest_of(parts)
