"""Which version is at which step, and since when: live on a terminal, else a line for each step."""

from __future__ import annotations

import time
from types import TracebackType

from rich.columns import Columns
from rich.console import RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from marina.console import err, step
from marina.store.build import Tell, saying


class Board:
    """What builds tell, for people; a context in which versions come and go."""

    def __init__(self) -> None:
        name = TextColumn("{task.fields[name]}", table_column=Column(no_wrap=True))
        columns = (name, TimeElapsedColumn(), TextColumn("{task.description}"), _Part())
        self._live = Progress(*columns, console=err, transient=True) if err.is_terminal else None
        self._tasks: dict[str, TaskID] = {}
        self._began: dict[str, float] = {}

    def __enter__(self) -> Board:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live:
            self._live.stop()

    def begin(self, name: str) -> Tell:
        """A version's build began; what it tells goes to what is returned."""
        self._began[name] = time.monotonic()
        live = self._live
        if live is None:
            return saying(name)
        task = self._tasks[name] = live.add_task("", name=name, total=None)

        def tell(doing: str, done: int = 0, total: int = 0, /) -> None:
            live.update(task, description=doing, completed=done, total=total or None)

        return tell

    def end(self, name: str, how: str) -> None:
        """A version's build ended: "built", or "failed"."""
        if self._live and name in self._tasks:
            self._live.remove_task(self._tasks.pop(name))
        step(f"{name}: {how} in {time.monotonic() - self._began[name]:.1f} s")


class _Part(ProgressColumn):
    """A bar and its numbers, where a whole is known."""

    def __init__(self) -> None:
        super().__init__()
        self._columns = BarColumn(), MofNCompleteColumn()

    def render(self, task: Task) -> RenderableType:
        """Nothing, or both."""
        return Columns([column.render(task) for column in self._columns]) if task.total else ""
