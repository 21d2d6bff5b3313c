"""A bar of bytes for each file that moves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fsspec.callbacks import Callback
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from marina.console import err

COLUMNS = (
    TextColumn("{task.description}", markup=False),
    BarColumn(),
    DownloadColumn(),
    TransferSpeedColumn(),
    TimeRemainingColumn(),
)


@contextmanager
def bar_of(what: str, size_bytes: int | None) -> Iterator[Callback]:
    """A bar that is there as long as this is open, where a terminal is; fsspec moves it by the callback."""
    with Progress(*COLUMNS, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task(what, total=size_bytes)
        yield Callback(hooks={"bar": lambda _, value: bar.update(task, completed=value)})
