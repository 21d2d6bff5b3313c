"""What push_store.py and pull_store.py have in common: their options, and how they show what moves."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Literal

from rich.table import Table

from marina.console import out
from marina.errors import UsageError
from marina.paths import Store
from marina.sharing.moves import SAYS, Move
from marina.sharing.remote import Remote

EPILOG = (
    "Credentials and the endpoint of S3 come from where AWS's own tools take them: AWS_ACCESS_KEY_ID, AWS_PROFILE, "
    "AWS_ENDPOINT_URL … See docs/sharing.md."
)


def add_options(options: argparse.ArgumentParser) -> None:
    """The options that both commands have."""
    options.add_argument("address", metavar="ADDRESS", help="s3://bucket/folder, another address of fsspec's, or a folder")
    options.add_argument("models", nargs="*", metavar="MODEL", help="these models alone")
    options.add_argument("--version", help="of one model, this version alone")
    options.add_argument("--replace", action="store_true", help="replace archives that differ; without it they are refused")
    options.add_argument("--dry-run", action="store_true", help="say what would move, and move nothing")
    options.add_argument("--store", type=Path, default=Store().folder, help="folder of archives/ and index.json (%(default)s)")
    options.add_argument("--json", action="store_true", help="print what moves as JSON")


def connect(options: argparse.Namespace) -> tuple[Store, Remote]:
    """This side and the other.

    Raises:
        UsageError: the address is none, or is the store itself.
    """
    store, remote = Store(options.store.resolve()), Remote(options.address)
    if remote.is_folder(store.folder):
        raise UsageError(f"{remote} is the store itself: give another folder, or --store another store")
    return store, remote


def show(moves: list[Move], side: Literal["here", "there"], as_json: bool) -> None:
    """A row for each version; ``side`` is where it moves to."""
    if as_json:
        out.print_json(data=[_row(move) for move in moves])
        return
    table = Table("model", "version", "MB", "moves", "SHA-256", "", box=None, pad_edge=False)
    for move in moves:
        entry, moved = move.shared.entry, f"{move.size_bytes / 1e6:.1f}" if move.files else "nothing"
        size = f"{entry.size_bytes / 1e6:.1f}"
        table.add_row(move.shared.model, move.shared.version, size, moved, entry.sha256[:12], SAYS[move.action].format(side=side))
    out.print(table)


def _row(move: Move) -> dict[str, object]:
    return {
        "model": move.shared.model,
        "version": move.shared.version,
        "action": move.action,
        "bytes_to_move": move.size_bytes,
        "sha256": move.shared.entry.sha256,
        "other_sha256": move.other,
    }
