"""The files that Envoy reads: each replaced whole, so that it is never seen half-written."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from marina.gateway.messages import FOLDER, Message
from marina.remembering import replace_whole


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
        write_json(self.discovered(kind), {"version_info": version, "resources": list(messages)})
        return version


def write_json(path: Path, content: Any) -> None:
    """Replace a file of Envoy's.

    Raises:
        MarinaError: it cannot be written; what was there is left.
    """
    replace_whole(path, json.dumps(content, indent=1))
