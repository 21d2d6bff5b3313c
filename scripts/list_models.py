"""List models: what specs have, what is built, stale or missing, and what a server runs of it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from rich.table import Table

from marina.console import out, run, step
from marina.errors import MarinaError, UsageError
from marina.inventory import STATES, Row, Specs, inventory, read_specs
from marina.paths import Store
from marina.reading import nearest_of
from marina.serving.access_options import access_of, add_access
from marina.serving.management import Management, Running, Unreachable
from marina.serving.ports import read_ports
from marina.store.index import read_index
from marina.store.spec import FILE_NAME, spec_path


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    states = "; ".join(f"{state}: {meaning}" for state, meaning in STATES.items())
    options = argparse.ArgumentParser(description=__doc__, epilog=f"States: {states}.")
    options.add_argument("models", nargs="*", metavar="MODEL", help="these models alone; or the path of a spec's folder")
    add_access(options, read_ports(), inference=False)
    options.add_argument("--store", type=Path, default=Store().folder, help="folder of archives/ and index.json (%(default)s)")
    options.add_argument("--json", action="store_true", help="print all that is known as JSON")
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: _list(parser().parse_args(argv)))


def _list(options: argparse.Namespace) -> int:
    store = Store(options.store.resolve())
    index = read_index(store)
    by_path = [one for one in options.models if "/" in one or spec_path(one).parent == Path(one)]
    for path in by_path:
        if not spec_path(path).is_file():
            raise UsageError(f"{path}: no {FILE_NAME} is there")
    specs = read_specs(index, by_path)
    rows = inventory(store, index, specs, _running(Management(options.management, access_of(options))))
    asked = [_name(one, specs) if one in by_path else one for one in options.models]
    shown = [row for row in rows if not asked or {row.model, *row.served} & set(asked)]
    _check(asked, rows)
    for model in dict.fromkeys(row.model for row in shown if row.model in specs.wrong):
        step(specs.wrong[model])
    _show(shown, options.json)
    return 0


def _running(management: Management) -> list[Running]:
    try:
        return [one for versions in management.all_versions().values() for one in versions.values()]
    except Unreachable:
        step(f"no server at {management.address}")
    except MarinaError as error:
        step(str(error))
    return []


def _name(path: str, specs: Specs) -> str:
    """The model of a spec that was given by its path."""
    folder = spec_path(path).parent
    return next((name for name, found in specs.found.items() if found.folder == folder.resolve()), folder.name)


def _check(asked: list[str], rows: list[Row]) -> None:
    known = list(dict.fromkeys(name for row in rows for name in (row.model, *row.served)))
    for model in asked:
        if model not in known:
            raise UsageError(f"no model '{model}' in a spec, in the store or on the server: {nearest_of(model, known)}")


def _show(rows: list[Row], as_json: bool) -> None:
    if as_json:
        out.print_json(data=[_document(row) for row in rows])
        return
    columns = ("model", "version", "state", "served", "runtime", "precision", "weights", "accuracy", "MB", "here since")
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(row.model, row.version, row.state, _served(row), *_built(row))
    out.print(table if rows else "no specs, nothing built, nothing served")


def _served(row: Row) -> str:
    """Workers that are READY, of those wanted; under which name, where that is another."""
    return ", ".join(
        f"{one.ready_workers} of {one.wanted_workers}" + (f" as {name}" if name != row.model else "")
        for name, one in row.served.items()
    )


def _built(row: Row) -> list[str]:
    if row.entry is None:
        return []
    entry = row.entry
    since = row.since.strftime("%Y-%m-%d %H:%M") if row.since else ""
    return [
        entry.runtime,
        entry.precision,
        entry.weights.source,
        str(entry.accuracy or ""),
        f"{entry.size_bytes / 1e6:.1f}",
        since,
    ]


def _document(row: Row) -> dict[str, Any]:
    served = [
        {"model": name, "workers": one.wanted_workers, "ready": one.ready_workers, "archive": one.archive}
        for name, one in row.served.items()
    ]
    return {
        "model": row.model,
        "version": row.version,
        "state": row.state,
        "here_since": row.since.isoformat() if row.since else None,
        "served": served,
        "entry": row.entry.model_dump(mode="json") if row.entry else None,
    }


if __name__ == "__main__":
    sys.exit(main())
