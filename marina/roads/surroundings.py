"""What a worker sees: its archive as the working folder and first on the path, and of its modules no others."""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType


class Surroundings:
    """A context in which this process imports and opens files as the worker of one archive does.

    The modules of the archive take the place of those of the same names, and go back when the context ends: so several
    archives live in one process, each with a handlerkit of its own.
    """

    def __init__(self, folder: Path, sources: Mapping[str, Path] | None = None) -> None:
        """Surroundings that are entered, and left, any number of times.

        Args:
            folder: the unpacked archive.
            sources: modules and packages that are imported from elsewhere in place of the archive's, by their names.
        """
        self._folder = folder
        self._finder = _Sources(sources or {})
        self._names = frozenset(_module_names(folder)) | frozenset(sources or {})
        self._modules: dict[str, ModuleType] = {}

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Within, this process is the archive's worker."""
        outside = self._swap(self._modules)
        sys.path.insert(0, str(self._folder))
        sys.meta_path.insert(0, self._finder)
        importlib.invalidate_caches()
        try:
            with contextlib.chdir(self._folder):
                yield
        finally:
            sys.meta_path.remove(self._finder)
            sys.path.remove(str(self._folder))
            self._modules = self._swap(outside)

    def _swap(self, wanted: dict[str, ModuleType]) -> dict[str, ModuleType]:
        """Put modules in place of those that have the archive's names, and return these."""
        found = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in self._names}
        for name in found:
            del sys.modules[name]
        sys.modules.update(wanted)
        return found


class _Sources(importlib.abc.MetaPathFinder):
    """Finds modules by name in files that are named, so that tracebacks and debuggers show these."""

    def __init__(self, sources: Mapping[str, Path]) -> None:
        self._sources = sources

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The module of one of the names; its submodules are found by Python, beside it."""
        source = self._sources.get(name)
        if source is None:
            return None
        if source.is_dir():
            inside = [str(source)]
            return importlib.util.spec_from_file_location(name, source / "__init__.py", submodule_search_locations=inside)
        return importlib.util.spec_from_file_location(name, source)


def _module_names(folder: Path) -> Iterator[str]:
    for path in folder.iterdir():
        if path.suffix == ".py" or (path.is_dir() and any(path.glob("*.py"))):
            yield path.stem
