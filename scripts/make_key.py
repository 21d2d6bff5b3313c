"""Make a key for a caller of the gateway, and add it to the file of keys."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from pathlib import Path

from marina import paths
from marina.console import out, run
from marina.errors import UsageError
from marina.gateway.keys import FILE, NAME, read_keys

BYTES = 24  # 192 bits, 32 characters


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("name", help="whose key it is; an older one of that name stays good until its line is deleted")
    default = Path(os.environ.get(FILE, paths.CONFIG / "gateway" / "keys"))
    options.add_argument("--file", type=Path, default=default, help="file of keys (%(default)s)")
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: _make(parser().parse_args(argv)))


def _make(options: argparse.Namespace) -> int:
    if NAME.fullmatch(options.name) is None:
        raise UsageError(f"a name is of letters, digits, '.', '_' and '-'; found {options.name!r}")
    file: Path = options.file
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    if before:
        read_keys(file, {})
    key = secrets.token_urlsafe(BYTES)
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as written:
        written.write(f"{before}{options.name}: {key}\n")
    beside.replace(file)
    out.print(key, markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
