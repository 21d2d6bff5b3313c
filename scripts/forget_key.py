"""Delete all that the traffic record has of a caller's key."""

from __future__ import annotations

import argparse
import sys

from marina.comparing.hashed_keys import read_salt
from marina.comparing.keeping import forget, rows_of
from marina.comparing.kept_payloads import KeptPayloads
from marina.comparing.traffic_options import add_record, record_of
from marina.console import out, run
from marina.errors import UsageError
from marina.paths import State


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__, epilog="A caller who comes again is recorded again: docs/traffic.md.")
    options.add_argument(
        "key",
        metavar="KEY",
        help="value of the header or cookie; - reads it from standard input, where no list of processes shows it",
    )
    options.add_argument("--dry-run", action="store_true", help="say how much there is, and delete nothing")
    options.add_argument("--json", action="store_true", help="print the rows by table as JSON")
    add_record(options)
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: _forget(parser().parse_args(argv)))


def _forget(options: argparse.Namespace) -> int:
    key = sys.stdin.readline().rstrip("\n") if options.key == "-" else options.key
    if not key:
        raise UsageError("a key is required, found none")
    hashed = read_salt(State(options.state)).of(key)
    payloads = KeptPayloads(State(options.state))
    with record_of(options) as traffic:
        counts = rows_of(traffic, hashed) if options.dry_run else forget(traffic, hashed)
    counts["payloads"] = len(payloads.of_key(hashed)) if options.dry_run else payloads.forget(hashed)
    if options.json:
        out.print_json(data=counts)
    else:
        said = ", ".join(f"{count} {table}" for table, count in counts.items())
        out.print(f"{'there are' if options.dry_run else 'deleted'}: {said}", markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
