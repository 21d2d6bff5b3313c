"""What is asked of a road, and what it made."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from marina.errors import UsageError
from marina.paths import Store
from marina.store.spec import SpecFile, Version


@dataclass(frozen=True)
class Order:
    """One version, for one road.

    Attributes:
        model: its name.
        version: its name.
        found: its spec; None where the store has the archive alone, as it was adopted or pulled.
        store: where archives and trained weights are.
        way: which of the road's exporters or platforms.
        weights: a state dict to use in place of the spec's weights.
        random: whether to use random weights.
        with_preprocessing: whether resizing and normalising go into the exported network.
    """

    model: str
    version: str
    found: SpecFile | None
    store: Store
    way: str
    weights: Path | None = None
    random: bool = False
    with_preprocessing: bool = False

    @property
    def name(self) -> str:
        """As people name it."""
        return f"{self.model} {self.version}"

    @property
    def spec(self) -> SpecFile:
        """Its spec.

        Raises:
            UsageError: there is none.
        """
        if self.found is None:
            raise UsageError(
                f"{self.name} has no spec here, of which its network could be exported: it was adopted or pulled; "
                "its archive goes with --to sagemaker, and --to triton --platform handler"
            )
        return self.found

    @property
    def wanted(self) -> Version:
        """The version, as its spec has it."""
        return self.spec.version(self.version)


@dataclass(frozen=True)
class Made:
    """What a road left in its folder.

    Attributes:
        difference: of the exported network's outputs from the eager one's, the largest; None where nothing was compared.
        tolerance: the largest that is allowed.
        compared_rows: of inputs, that both were asked.
        notes: what a user should know of it, a sentence each.
        then: the command to type next; FOLDER stands for where it was put.
    """

    difference: float | None = None
    tolerance: float | None = None
    compared_rows: int = 0
    notes: list[str] = field(default_factory=list)
    then: str = ""
