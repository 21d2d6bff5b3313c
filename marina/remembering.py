"""Small JSON files that a running house remembers things in: replaced in one step, read with care."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from filelock import FileLock
from pydantic import BaseModel, ValidationError

from marina.errors import MarinaError

Document = TypeVar("Document", bound=BaseModel)


def remember(path: Path, document: BaseModel) -> None:
    """Replace a file by a document.

    Raises:
        MarinaError: it cannot be written.
    """
    replace_whole(path, document.model_dump_json(indent=2) + "\n")


def replace_whole(path: Path, text: str) -> None:
    """Replace a file in one step, for its owner alone, so that whoever is killed leaves the old one or the new one.

    Raises:
        MarinaError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False, encoding="utf-8") as file:
            partial = Path(file.name)
            try:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error


def recall(path: Path, kind: type[Document]) -> Document | None:
    """What was remembered, or None where nothing was.

    Raises:
        MarinaError: the file cannot be read, or holds something else.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise MarinaError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        wrong = error.errors()[0]
        where = ".".join(str(part) for part in wrong["loc"]) or "the file"
        raise MarinaError(
            f"{path}: is not what was written there: {where}: {wrong['msg'].removeprefix('Value error, ')}; mend it, or remove it"
        ) from error


@contextmanager
def changing(path: Path) -> Iterator[None]:
    """Be alone while a file is read, changed and remembered again; the lock goes with its process, however that ends.

    Raises:
        MarinaError: its folder cannot be written.
    """
    lock = lock_beside(path)
    try:
        lock.acquire()
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        yield
    finally:
        lock.release()


def lock_beside(path: Path) -> FileLock:
    """A lock that stands for a file.

    Raises:
        MarinaError: its folder cannot be written.
    """
    folder = path.parent / ".locks"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error
    return FileLock(folder / path.name)


def unwritable(path: Path, error: OSError) -> MarinaError:
    """What to tell where a file cannot be written."""
    return MarinaError(f"{path}: cannot be written: {error.strerror or error}; --state gives another folder")
