"""Export a table of the traffic record to a Parquet file."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from marina.comparing.exporting import TABLES, export, rows_to_export
from marina.comparing.hashed_keys import read_salt
from marina.comparing.traffic_options import add_record, record_of
from marina.console import out, run
from marina.durations import seconds_of
from marina.errors import UsageError
from marina.paths import State


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__, epilog="docs/traffic.md has the columns.")
    options.add_argument("--to", type=Path, required=True, metavar="FILE", help="a .parquet file; one that is there is replaced")
    options.add_argument("--table", choices=TABLES, default="requests", help="which (%(default)s)")
    options.add_argument("--model", help="this model's rows alone")
    options.add_argument("--last", type=seconds_of, metavar="TIME", help="rows of this time until now alone: 12h, 7d")
    options.add_argument("--key", metavar="KEY", help="what is stored of one caller; - reads the key from standard input")
    add_record(options)
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: _export(parser().parse_args(argv)))


def _export(options: argparse.Namespace) -> int:
    if options.to.suffix != ".parquet":
        raise UsageError(f"--to {options.to}: required a name that ends in .parquet")
    if options.key and options.table not in ("requests", "outcomes", "agreements"):
        raise UsageError(f"--key: {options.table} are of no caller: choose requests, outcomes or agreements")
    key = sys.stdin.readline().rstrip("\n") if options.key == "-" else options.key
    hashed = read_salt(State(options.state)).of(key) if key else None
    since = time.time() - options.last if options.last else None
    with record_of(options) as traffic:
        query = rows_to_export(options.table, options.model, since, hashed)
        count = export(traffic, options.table, query, options.to)
    out.print(f"{options.to}: {count} rows", markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
