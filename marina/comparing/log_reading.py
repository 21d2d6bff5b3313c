"""Read a log that another process writes, piece by piece, and know it again after a restart or a new name."""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

PIECE_BYTES = 1 << 20
FIRST_LINE_BYTES = 4096
OBJECTS = 20  # beginnings that are tried in a line that is broken


@dataclass(frozen=True)
class Piece:
    """Whole lines of a log, and where they end."""

    lines: list[bytes]
    end: int


def source_of(path: Path) -> str | None:
    """What a log is known by: its first line, hashed; None where it has none yet, or is not there.

    Neither its name nor its inode would do: a log is renamed, and an inode is given to the next.
    """
    try:
        with path.open("rb") as file:
            first = file.read(FIRST_LINE_BYTES)
    except FileNotFoundError:
        return None
    line, newline, _ = first.partition(b"\n")
    return hashlib.sha256(line).hexdigest() if newline or len(first) == FIRST_LINE_BYTES else None


def read_piece(path: Path, start: int) -> Piece | None:
    """The next whole lines, some megabyte of them at most; None where there are none.

    A line that is still being written is left for the next time. One that is longer than a piece is given in parts: no log of
    ours has one, and what cannot be read must not stop what comes after it.
    """
    try:
        with path.open("rb") as file:
            file.seek(start)
            content = file.read(PIECE_BYTES)
    except FileNotFoundError:  # whoever wrote it has deleted it
        return None
    whole = content.rfind(b"\n") + 1
    if not whole and len(content) == PIECE_BYTES:
        whole = len(content)
    return Piece(content[:whole].removesuffix(b"\n").split(b"\n"), start + whole) if whole else None


def bytes_after(path: Path, start: int) -> int:
    """How much of a log there is from a place on."""
    try:
        return max(0, path.stat().st_size - start)
    except FileNotFoundError:
        return 0


def object_of(line: bytes) -> dict[str, Any] | None:
    """The JSON object of a line.

    Where a writer was killed in the midst of one, the next has begun on the same line: then the object that ends it. No string of
    JSON has what an object begins with, so that it is found by that.
    """
    text = line.decode(errors="replace")  # callers may send what is no UTF-8
    for part in chain([text], (text[found.start() :] for found in islice(re.finditer(r'\{"', text), OBJECTS))):
        with suppress(ValueError, RecursionError):
            content = json.loads(part)
            if isinstance(content, dict):
                return content
    return None
