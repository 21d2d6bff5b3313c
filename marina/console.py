"""What scripts share: results on stdout, progress on stderr, and an exit code for every end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rich.console import Console

from marina.errors import MarinaError

WIDE = 200  # columns of a table that no terminal shows

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDE)
err = Console(stderr=True, highlight=False, soft_wrap=True)


_listeners: list[Callable[[str], None]] = []


def step(text: str) -> None:
    """Say on stderr what is being done, or to who listens in its place; what cannot be said, on a full disk, holds nothing up."""
    if _listeners:
        _listeners[-1](text)
    else:
        with suppress(OSError):
            err.print(text, markup=False)


@contextmanager
def listening(listener: Callable[[str], None]) -> Iterator[None]:
    """Within, what is being done is told to the listener."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.pop()


def run(action: Callable[[], int]) -> int:
    """Run a script's action; a user's mistake becomes one line and an exit code, never a traceback."""
    try:
        return action()
    except MarinaError as error:
        err.print(f"error: {error}", markup=False)
        return error.exit_code
    except OSError as error:
        err.print(f"error: {error.filename or 'system'}: {error.strerror or error}", markup=False)
        return MarinaError.exit_code
    except KeyboardInterrupt:
        err.print("stopped")
        return 130
