"""Make a self-signed certificate and its key, for TLS as config/config.production.properties has it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from marina import paths
from marina.config.self_signed import write_pair
from marina.console import out, run

YEAR = 365
LONGEST = 3650


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--folder", type=Path, default=paths.CERTIFICATES, help="for certificate.pem and key.pem (%(default)s)")
    options.add_argument("--name", action="append", default=[], help="host or IP address besides localhost; may be given again")
    options.add_argument("--days", type=_days, default=YEAR, help=f"that it is good for, 1 to {LONGEST} (%(default)s)")
    options.add_argument("--force", action="store_true", help="replace those that are there")
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: _make(parser().parse_args(argv)))


def _days(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= LONGEST:
        raise argparse.ArgumentTypeError(f"required a number from 1 to {LONGEST}, found {text!r}")
    return int(text)


def _make(options: argparse.Namespace) -> int:
    certificate, key = options.folder / "certificate.pem", options.folder / "key.pem"
    made = write_pair(certificate, key, options.name, options.days, replace=options.force)
    out.print(f"certificate  {certificate}, good until {made.not_valid_after_utc:%Y-%m-%d}", markup=False)
    out.print(f"key          {key}, for its owner alone", markup=False)
    out.print(f"clients      curl --cacert {certificate} …, or scripts/query_model.py --cacert {certificate} …", markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
