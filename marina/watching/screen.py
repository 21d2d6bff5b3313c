"""A server's status as a table in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from marina.watching.status import VersionStatus

COLUMNS = ("model", "version", "split", "workers", "lost", "rate/s", "4xx", "5xx", "p50 ms", "p99 ms", "queue ms", "rows")
LEFT = ("model", "version")
NOTHING = "–"


def screen(title: str, versions: Sequence[VersionStatus] | None, notes: Iterable[str]) -> RenderableType:
    """The whole screen: a title, a row for each version where they are known, and what was noticed."""
    shown = Text() if versions is None else table(versions)
    return Group(Text(title, style="bold"), shown, *(Text(note) for note in notes))


def table(versions: Sequence[VersionStatus]) -> RenderableType:
    """A row for each version; the default is marked, what needs a look is red."""
    if not versions:
        return Text("no model is registered")
    shown = Table(box=None, pad_edge=False)
    for column in COLUMNS:
        shown.add_column(column, justify="left" if column in LEFT else "right")
    for one in versions:
        shown.add_row(*_row(one))
    return shown


def _row(one: VersionStatus) -> list[Text]:
    return [
        Text(one.model),
        Text(f"{one.version} (default)" if one.is_default else one.version),
        Text(NOTHING if one.weight is None else f"{one.weight * 100:g}%"),
        Text(f"{one.ready}/{one.workers}", style="" if one.ready >= one.workers else "red"),
        Text(str(one.restarts), style="red" if one.restarts else ""),
        Text(f"{one.answers_per_second:.1f}"),
        _percent(one.refused, style=""),
        _percent(one.failed, style="red"),
        *(_number(value) for value in (one.p50_ms, one.p99_ms, one.queue_ms, one.rows_per_batch)),
    ]


def _percent(share: float | None, style: str) -> Text:
    return Text(NOTHING) if share is None else Text(f"{share:.1%}", style=style if share else "")


def _number(value: float | None) -> Text:
    return Text(NOTHING if value is None else f"{value:.1f}")
