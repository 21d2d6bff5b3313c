"""Files that a spec puts into its archives, for its handler to read: beside the spec, or in an installed package."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from marina.errors import UsageError
from marina.store.spec import FILE_NAME, SpecFile


def own_files(found: SpecFile) -> dict[str, Path]:
    """The spec's ``files`` by the name that each has in the archive.

    Raises:
        UsageError: one is not there, its package is not installed, or two have one name.
    """
    files: dict[str, Path] = {}
    for named in found.spec.files:
        path = _in_package(found, named) if ":" in named else found.beside(named)
        if path.name in files:
            raise UsageError(f"{found.folder / FILE_NAME}: 'files' has two of the name {path.name}")
        files[path.name] = path
    return files


def _in_package(found: SpecFile, named: str) -> Path:
    """The file ``path`` of ``package:path``; the package is not imported."""
    package, _, inside = named.partition(":")
    where = f"{found.folder / FILE_NAME}: 'files' names {named}, but"
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(f"{where} no package {package!r} is installed")
    path = Path(spec.submodule_search_locations[0]) / inside
    if not path.is_file():
        raise UsageError(f"{where} {path} is no file")
    return path
