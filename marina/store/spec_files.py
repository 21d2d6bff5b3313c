"""The files that a spec names: that they are there and can be read, seen without running any of them."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from marina.errors import UsageError
from marina.store.files import own_files
from marina.store.labels import read_labels
from marina.store.spec import SpecFile


def check_files(found: SpecFile) -> Iterator[str]:
    """One sentence for each file of a spec that is missing or cannot be read."""
    looks: list[Callable[[], object]] = [
        lambda: _check_python(found.handler),
        *(partial(_check_beside, found, name) for name in _python_files(found)),
        partial(own_files, found),
        partial(read_labels, found),
        lambda: _check_readable(found.beside(found.spec.sample.request)),
    ]
    for look in looks:
        try:
            look()
        except UsageError as error:
            yield str(error)


def _python_files(found: SpecFile) -> list[str]:
    """Networks and training, by the names that the spec has for them."""
    named = [version.source.network for version in found.spec.versions.values()]
    return list(dict.fromkeys(name for name in [*named, found.spec.training] if name))


def _check_beside(found: SpecFile, name: str) -> None:
    _check_python(found.beside(name))


def _check_python(path: Path) -> None:
    try:
        ast.parse(path.read_bytes(), filename=str(path))
    except (SyntaxError, ValueError) as error:
        raise UsageError(f"{path}: is no Python: {error}") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error


def _check_readable(path: Path) -> None:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    if not content:
        raise UsageError(f"{path}: is empty")
