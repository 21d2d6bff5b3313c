"""What is to move, and why; found out before anything does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from marina.errors import MarinaError, UsageError
from marina.reading import nearest_of
from marina.sharing.documents import NamedFile, Shared

Action = Literal["new", "repair", "replace", "differs", "present"]
SAYS = {
    "new": "new {side}",
    "repair": "was damaged or incomplete {side}",
    "replace": "replaces another {side}",
    "differs": "differs from what is {side}: --replace would replace it",
    "present": "{side} already",
}


@dataclass(frozen=True)
class Move:
    """One version, and what becomes of it.

    Attributes:
        files: those of its files that have to move.
        other: the SHA-256 of the archive that the other side has, where it differs.
    """

    shared: Shared
    action: Action
    files: tuple[NamedFile, ...] = ()
    other: str | None = None

    @property
    def size_bytes(self) -> int:
        """How much has to move."""
        return sum(file.size_bytes or 0 for file in self.files)


def asked(there: Iterable[tuple[str, str]], models: list[str], version: str | None, where: str) -> list[tuple[str, str]]:
    """The versions that a command means: all of the models that it names, or all there are.

    Raises:
        UsageError: the command names what is not there.
        MarinaError: nothing is there at all.
    """
    known: dict[str, list[str]] = {}
    for model, name in there:
        known.setdefault(model, []).append(name)
    if version is not None and len(models) != 1:
        raise UsageError("--version goes with the name of one model")
    if not known:
        raise MarinaError(f"{where} holds no models")
    for model in models:
        if model not in known:
            raise UsageError(f"{where} has no model '{model}': {nearest_of(model, list(known))}")
    if version is not None and version not in known[models[0]]:
        raise UsageError(f"{where} has no {models[0]} {version}; it has: {', '.join(known[models[0]])}")
    return [(model, name) for model in models or known for name in known[model] if version in (None, name)]


def refuse_differences(moves: list[Move], where: str) -> None:
    """See that nothing is replaced that nobody asked to replace.

    Raises:
        MarinaError: which versions differ, and what to do.
    """
    differing = [move for move in moves if move.action == "differs"]
    if differing:
        listed = ", ".join(f"{move.shared} (SHA-256 {(move.other or '')[:12]}…)" for move in differing[:5])
        more = f" and {len(differing) - 5} more" if len(differing) > 5 else ""
        raise MarinaError(
            f"{where} has other archives of {listed}{more}: nothing was moved; "
            "add --replace to replace them, or name the models to leave them out"
        )
