"""What of a deployment was applied: by it, versions that a deployment brought are told from those registered by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from marina.paths import State
from marina.remembering import changing, recall, remember


class Applied(BaseModel):
    """Versions by model.

    Attributes:
        versions: those that were in a deployment when it was applied; they go when they are no longer in it.
        unproven: those of them that are being brought into service: registered, but not seen to answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    versions: dict[str, list[str]] = {}
    unproven: dict[str, list[str]] = {}

    def began(self, model: str, version: str) -> Applied:
        """With a version that is being brought into service."""
        return Applied(versions=_with(self.versions, model, version), unproven=_with(self.unproven, model, version))

    def proved(self, model: str, version: str) -> Applied:
        """With a version that runs, and has answered its sample."""
        return Applied(versions=_with(self.versions, model, version), unproven=_without(self.unproven, model, version))

    def forgot(self, model: str, version: str) -> Applied:
        """Without a version."""
        return Applied(versions=_without(self.versions, model, version), unproven=_without(self.unproven, model, version))


class Memory:
    """The record of one server, in the state's folder."""

    def __init__(self, state: State) -> None:
        self.file: Path = state.folder / "applied.json"

    def read(self) -> Applied:
        """What was applied.

        Raises:
            MarinaError: the record is corrupt.
        """
        return recall(self.file, Applied) or Applied()

    def change(self, to: Callable[[Applied], Applied]) -> None:
        """Change the record.

        Raises:
            MarinaError: the record is corrupt, or cannot be written.
        """
        with changing(self.file):
            remember(self.file, to(self.read()))


def forget_all(state: State) -> None:
    """Begin anew, with a server that has nothing yet.

    Raises:
        MarinaError: the record cannot be written.
    """
    memory = Memory(state)
    with changing(memory.file):
        remember(memory.file, Applied())


def _with(versions: dict[str, list[str]], model: str, version: str) -> dict[str, list[str]]:
    return versions | {model: sorted({*versions.get(model, []), version})}


def _without(versions: dict[str, list[str]], model: str, version: str) -> dict[str, list[str]]:
    left = {name: [one for one in found if (name, one) != (model, version)] for name, found in versions.items()}
    return {name: found for name, found in left.items() if found}
