"""Pull archives and their index entries from S3, from any address that fsspec knows, or from a folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from marina.console import err, run
from marina.sharing.command import EPILOG, add_options, connect, show
from marina.sharing.pull import Pull


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__, epilog=EPILOG)
    add_options(options)
    options.add_argument(
        "--allowed-signers", type=Path, metavar="FILE", help="take only entries signed by one of them, as ssh-keygen's own file"
    )
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: _pull(parser().parse_args(argv)))


def _pull(options: argparse.Namespace) -> int:
    store, remote = connect(options)
    with err.status(f"looking at {remote}"):
        pull = Pull(store, remote, options.models, options.version, options.replace)
    if not options.dry_run:
        pull.check(options.allowed_signers)
        pull.run()
    show(pull.moves, "here", options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
