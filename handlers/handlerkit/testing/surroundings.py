"""What a worker sees: its archive as the working folder and first on the path, and of its modules no others."""

from __future__ import annotations

import contextlib
import importlib
import sys
from pathlib import Path
from types import ModuleType, TracebackType


class Surroundings:
    """A context in which this process imports and opens files as a worker of one archive does.

    The modules in the archive take the place of those of the same names, and go back with the context's end: so two
    archives may have a ``handler.py`` or a ``handlerkit`` each, and what the test has imported stays what it was.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        found = [path.stem for path in folder.iterdir() if path.suffix == ".py" or (path.is_dir() and any(path.glob("*.py")))]
        self._names = frozenset(found)
        self._modules: dict[str, ModuleType] = {}

    def __enter__(self) -> None:
        """Step in."""
        self._outside = self._swap(self._modules)
        sys.path.insert(0, str(self._folder))
        self._moved = contextlib.chdir(self._folder)
        self._moved.__enter__()
        importlib.invalidate_caches()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Step out."""
        self._moved.__exit__(kind, error, trace)
        sys.path.remove(str(self._folder))
        self._modules = self._swap(self._outside)

    def _swap(self, wanted: dict[str, ModuleType]) -> dict[str, ModuleType]:
        """Put modules in place of those that have the archive's names, and return these."""
        found = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in self._names}
        for name in found:
            del sys.modules[name]
        sys.modules.update(wanted)
        return found
