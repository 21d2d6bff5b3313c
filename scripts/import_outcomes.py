"""Import outcomes of requests from a CSV, Parquet or JSON-lines file into the traffic record."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from marina.comparing.hashed_keys import read_salt
from marina.comparing.outcome_files import OutcomeFile, checked_outcomes
from marina.comparing.outcome_reading import OutcomeReader
from marina.comparing.traffic_options import add_record, record_of
from marina.comparing.traffic_settings import TrafficSettings
from marina.console import out, run, step
from marina.durations import seconds_of
from marina.paths import State

EPILOG = (
    "Columns are found by name: metric, value, request_id (or key and experiment), time, id: see docs/traffic.md. "
    "All rows are written, or none; importing a file again changes nothing."
)


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__, epilog=EPILOG)
    options.add_argument("file", type=Path, metavar="FILE", help=".csv, .parquet, .jsonl or .ndjson")
    options.add_argument(
        "--metric", metavar="NAME", help="of all rows; the value is in the column 'value', or in that of this name"
    )
    options.add_argument("--experiment", metavar="NAME", help="of all rows that have a key")
    options.add_argument("--ignore", action="append", default=[], metavar="COLUMN", help="that is no part of an outcome")
    options.add_argument(
        "--keep",
        type=seconds_of,
        default=TrafficSettings().traffic_keep,
        metavar="TIME",
        help="as the recorder has it: older outcomes are refused (%(default)s)",
    )
    add_record(options)
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: _import(parser().parse_args(argv)))


def _import(options: argparse.Namespace) -> int:
    file = OutcomeFile(options.file, options.metric, options.experiment, tuple(options.ignore))
    with record_of(options) as traffic:
        reader = OutcomeReader(read_salt(State(options.state)), time.time(), options.keep)
        step(f"reading {options.file}")
        written = traffic.add_outcomes(checked_outcomes(file, reader))
    out.print(f"{written} outcomes written", markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
