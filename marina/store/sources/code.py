"""Python files of a spec, run where they are."""

from __future__ import annotations

import importlib.util
import linecache
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from marina import paths
from marina.errors import UsageError
from marina.store.spec import SpecFile


def run_code(source_code: str, found: SpecFile) -> ModuleType:
    """The names that a network's code defines.

    Raises:
        UsageError: it does not import; the message has the real reason.
    """
    namespace, file = ModuleType("network"), f"<network of {found.spec.name}>"
    linecache.cache[file] = (len(source_code), None, source_code.splitlines(keepends=True), file)  # torch.jit.script reads it
    try:
        exec(compile(source_code, file, "exec"), namespace.__dict__)  # noqa: S102 - the person's own network
    except ModuleNotFoundError as error:
        missing = f"{error}; install the package that has it, for example by: pip install {error.name}"
        raise UsageError(f"{found.spec.name}: the network does not import: ModuleNotFoundError: {missing}") from error
    except Exception as error:
        raise UsageError(f"{found.spec.name}: the network does not import: {type(error).__name__}: {error}") from error
    return namespace


def load_module(path: Path) -> ModuleType:
    """A Python file of the spec, imported by its path; it finds ``handlerkit``, as the handler beside it does.

    So training can read its data by the very code that reads requests; nothing of marina learns to know that code.

    Raises:
        UsageError: it does not import; the message has the real reason.
    """
    name = f"_marina_spec_{path.parent.name}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path}: not a Python file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # a dataclass looks its module up there
    try:
        with _handlers_on_path():
            spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"{path}: does not import: {type(error).__name__}: {error}") from error
    return module


@contextmanager
def _handlers_on_path() -> Iterator[None]:
    folder = str(paths.HANDLERS)
    sys.path.append(folder)
    try:
        yield
    finally:
        del sys.path[-1 - sys.path[::-1].index(folder)]
