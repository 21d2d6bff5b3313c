"""What is wrong in a configuration, where, and what to write instead."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from marina.reading import one_line


class Level(StrEnum):
    """How bad a finding is: an error stops the start, a warning only ``--strict``, a note nothing."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Found(NamedTuple):
    """What a rule says of a key; the file and the line are added by whoever read them."""

    level: Level
    key: str
    text: str


@dataclass(frozen=True)
class Finding:
    """One line for a person.

    Attributes:
        level: how bad it is.
        file: as the person named it.
        line: 1 is the first; 0 where the file lacks something.
        key: the setting it is about.
        text: what is required, what was found, what to write.
    """

    level: Level
    file: str
    line: int
    key: str
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return one_line(f"{place}: {self.level}: {self.key}: {self.text}")


def error(key: str, text: str) -> Found:
    """TorchServe would not start, or not do what is written, or let anyone in."""
    return Found(Level.ERROR, key, text)


def warning(key: str, text: str) -> Found:
    """It works, but hardly as meant, or not on this machine."""
    return Found(Level.WARNING, key, text)


def note(key: str, text: str) -> Found:
    """Worth knowing; nothing has to change."""
    return Found(Level.NOTE, key, text)
