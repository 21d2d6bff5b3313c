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
        *(partial(_check_beside, found, name) for name in _named(found)),
        partial(own_files, found),
        partial(read_labels, found),
    ]
    for look in looks:
        try:
            look()
        except UsageError as error:
            yield str(error)


def _named(found: SpecFile) -> list[str]:
    """Files of sources, training and sample, by the names that the spec has for them."""
    of_sources = [name for version in found.spec.versions.values() for name in version.source.files]
    sample = found.spec.sample.request if found.spec.sample else None
    return list(dict.fromkeys(name for name in [*of_sources, found.spec.training, sample] if name))


def _check_beside(found: SpecFile, name: str) -> None:
    path = found.beside(name)
    if path.suffix == ".py":
        _check_python(path)
    else:
        _check_readable(path)


def _check_python(path: Path) -> None:
    try:
        ast.parse(path.read_bytes(), filename=str(path))
    except (SyntaxError, ValueError) as error:
        raise UsageError(f"{path}: is no Python: {error}") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error


def _check_readable(path: Path) -> None:
    try:
        with path.open("rb") as file:
            first = file.read(1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    if not first:
        raise UsageError(f"{path}: is empty")
