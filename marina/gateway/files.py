"""The files that Envoy reads: each replaced whole, so that it is never seen half-written."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from marina.errors import MarinaError
from marina.gateway.messages import FOLDER, Message


class Files:
    """The files of one gateway, in its state folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def bootstrap(self) -> Path:
        """What Envoy is started with."""
        return self.folder / "bootstrap.json"

    @property
    def applied(self) -> Path:
        """What was written last, in our own words."""
        return self.folder / "applied.json"

    def discovered(self, kind: str) -> Path:
        """A file that Envoy watches."""
        return self.folder / FOLDER / f"{kind}.json"

    def discover(self, kind: str, messages: Iterable[Message]) -> str:
        """Replace what Envoy has of a kind; returns the version by which it can be read back."""
        version = uuid.uuid4().hex
        write_whole(self.discovered(kind), {"version_info": version, "resources": list(messages)})
        return version

    def resources(self, kind: str) -> list[Message]:
        """What was written last of a kind; nothing where nothing was."""
        try:
            return list(json.loads(self.discovered(kind).read_text(encoding="utf-8"))["resources"])
        except FileNotFoundError:
            return []


@contextmanager
def locked(files: Files) -> Iterator[None]:
    """Within, nobody else changes the files: a rollout and a deployment wait for each other."""
    try:
        files.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(files.folder / "lock"):
            yield
    except OSError as error:
        raise MarinaError(f"{error.filename}: cannot be written: {error.strerror}") from error


def write_whole(path: Path, content: Any) -> None:
    """Write JSON, for its owner alone, under its name only when it is all there.

    Raises:
        MarinaError: it cannot be written; what was there is left.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise MarinaError(f"{path}: cannot be written: {error.strerror}") from error
