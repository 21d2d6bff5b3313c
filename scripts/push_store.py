"""Push built archives and their index entries to S3, to any address that fsspec knows, or to a folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from marina.console import err, run
from marina.sharing.command import EPILOG, add_options, connect, show
from marina.sharing.push import Push
from marina.sharing.signing import check_key


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__, epilog=EPILOG)
    add_options(options)
    options.add_argument("--sign", type=Path, metavar="KEY", help="sign each entry with a private key of OpenSSH's")
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: _push(parser().parse_args(argv)))


def _push(options: argparse.Namespace) -> int:
    store, remote = connect(options)
    if options.sign:
        check_key(options.sign)
    with err.status(f"looking at {remote}"):
        push = Push(store, remote, options.models, options.version, options.replace)
    if not options.dry_run:
        push.check()
        push.run(options.sign)
    show(push.moves, "there", options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
