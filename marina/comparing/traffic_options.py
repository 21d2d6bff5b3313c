"""The options by which a script finds the traffic record, the same for every script that reads or writes it."""

from __future__ import annotations

import argparse
from pathlib import Path

from marina.comparing.traffic import Traffic
from marina.paths import State


def add_record(options: argparse.ArgumentParser) -> None:
    """Add where the state is, and the database where that is not in it."""
    options.add_argument("--state", type=Path, default=State().folder, help="folder of what runs and ran (%(default)s)")
    options.add_argument(
        "--database",
        metavar="ADDRESS",
        help="a SQLite file, or postgresql://user@host/name (TRAFFIC_DATABASE, else one in --state)",
    )


def record_of(options: argparse.Namespace) -> Traffic:
    """The record that the options name.

    Raises:
        UsageError: they name none.
        MarinaError: it cannot be opened, or nothing has been recorded yet.
    """
    return Traffic(State(options.state), options.database)
