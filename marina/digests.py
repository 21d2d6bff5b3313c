"""SHA-256 of files and of sets of files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from fnmatch import fnmatch
from pathlib import Path

CHUNK = 1 << 20


def file_digest(path: Path, told: Callable[[int], None] = lambda _: None) -> str:
    """SHA-256 of a file's bytes, in hex; ``told`` is told how many bytes were read, whenever some were."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            told(len(chunk))
    return digest.hexdigest()


def digest_of(parts: Iterable[str]) -> str:
    """SHA-256 of a list of texts, in hex; their borders count."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode())
    return digest.hexdigest()


LEFT_BY_TOOLS = ("__pycache__", ".*", "*~", "#*#", "*.swp", "*.pyc")


def source_files(folder: Path) -> list[Path]:
    """All files below a folder in the order of their names, without what tools leave there: hidden files, caches, backups."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in found if not any(map(_left_by_tools, path.relative_to(folder).parts)))


def _left_by_tools(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in LEFT_BY_TOOLS)
