"""A version's archive, unpacked beside the code that runs its handler without TorchServe's frontend."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from marina.errors import MarinaError
from marina.roads.order import Order
from marina.store import preflight_worker
from marina.store.board import Board
from marina.store.build import Order as Build
from marina.store.build import carry_out
from marina.store.contents import unpack
from marina.store.index import Entry, find_entry, verified_archive

FOLDER = "archive"
WORKER = "archive_worker.py"  # as an export has it
CONFIG_KEY = "handlerkit"


def unpacked(order: Order, folder: Path) -> Entry:
    """The order's archive in ``folder/archive``, built anew only where something changed; and the code that asks it.

    Raises:
        MarinaError: it cannot be built, or its handler is none of ours.
    """
    entry = _entry(order)
    unpack(verified_archive(order.store, entry), folder / FOLDER)
    _check(order, folder / FOLDER)
    shutil.copy(preflight_worker.__file__, folder / WORKER)
    return entry


def notes(entry: Entry) -> list[str]:
    """What a user should know of an archive."""
    random = ["its weights are random: good for speed tests alone"] if entry.weights.source == "random" else []
    here = ["it was compiled for this processor: build it where it will run"] if entry.runtime == "aotinductor" else []
    return [*random, *here]


def requirements(entry: Entry) -> list[str]:
    """What its worker imports, with the versions that it was built with."""
    needed = {"torch", "torchvision", "torchserve", "onnxruntime", "openvino"}
    return [f"{name}=={version}" for name, version in entry.built_with.items() if name in needed and version != "none"]


def _entry(order: Order) -> Entry:
    if order.found is None:
        return find_entry(order.store, order.model, order.version)
    keep = not (order.weights or order.random)
    build = Build(order.found, order.version, weights=order.weights, random=order.random, keep_weights=keep)
    with Board() as board:
        entry, new = carry_out(build, order.store, board.begin(order.name))
        board.end(order.name, "built" if new else "unchanged")
    return entry


def _check(order: Order, folder: Path) -> None:
    """Only a handler of ours answers each row by itself, with its own status."""
    manifest = json.loads((folder / "MAR-INF" / "MANIFEST.json").read_text(encoding="utf-8"))
    if not (folder / CONFIG_KEY).is_dir():
        handler = manifest["model"].get("handler")
        raise MarinaError(
            f"{order.name}: its handler {handler} is none of Marina's: write a spec for it, as docs/switching.md says"
        )
