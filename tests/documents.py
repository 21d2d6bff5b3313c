"""Code and commands in our documents, to be run."""

from __future__ import annotations

import doctest
import re
from dataclasses import dataclass
from pathlib import Path

LOOSE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True)
class Command:
    """A command of a document, and what it is said to print; ``...`` stands for anything."""

    line: str
    output: str

    def printed(self, text: str) -> bool:
        """Whether a text is what the document says."""
        return doctest.OutputChecker().check_output(_measured(self.output), _measured(text), LOOSE)


def _measured(text: str) -> str:
    """Decimal numbers differ from machine to machine: which they are does not matter, that they are there does."""
    return re.sub(r"-?\d+\.\d{2,}(e-?\d+)?|\d+(\.\d+)?%", "#", re.sub(r"\b[01]\.0\b(?=[,}])", "0.00", text))


def blocks(document: Path, language: str) -> list[str]:
    """The fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL)


def commands(document: Path) -> list[Command]:
    """The lines after a ``$`` in a document's console blocks, in order."""
    parts = [part for block in blocks(document, "console") for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
    return [Command(*part.split("\n", 1)) for part in parts]
