"""Names of an archive's files: which of them may be unpacked together."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from marina.errors import MarinaError

LONGEST_NAME = 1000  # characters
DRIVE = re.compile(r"^[A-Za-z]:")


def check_names(names: Iterable[str]) -> None:
    """See that files of these names stay inside the folder they are unpacked to, and that none takes another's place.

    Args:
        names: folders end with a slash.

    Raises:
        MarinaError: one does not; the message has its name.
    """
    taken: dict[str, str] = {}
    for name in names:
        if reason := _what_is_wrong(name.removesuffix("/")):
            raise MarinaError(f"has a file named {_shown(name)}, which {reason}")
        key = _on_any_disk(name.removesuffix("/"))
        if key in taken:
            raise MarinaError(f"has {_shown(taken[key])} and {_shown(name)}: one would take the place of the other")
        taken[key] = name
    for key, name in taken.items():
        parts = key.split("/")
        for end in range(1, len(parts)):
            above = taken.get("/".join(parts[:end]), "/")
            if not above.endswith("/"):
                raise MarinaError(f"has {_shown(name)} inside {_shown(above)}, which is a file")


def _what_is_wrong(name: str) -> str | None:
    parts = name.split("/")
    reasons = {
        "is an absolute path": name.startswith("/") or DRIVE.match(name),
        "has a backslash, a folder on some systems and a part of a name on others": "\\" in name,
        "leads out of its folder": ".." in parts,
        "is no plain path": "" in parts or "." in parts,
        "is compiled code, that Python may run in place of the file beside it": "__pycache__" in parts,
        "has characters that cannot be shown": not name.isprintable(),
        "is too long": len(name) > LONGEST_NAME,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _on_any_disk(name: str) -> str:
    """The name as a disk may see it that knows no upper case and composes accents."""
    return unicodedata.normalize("NFC", name).casefold()


def _shown(name: str) -> str:
    return ascii(name if len(name) <= 80 else f"{name[:80]}…")
