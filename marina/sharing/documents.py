"""What stands at the other place of one version: its index entry as a small JSON document, signed or not.

    entries/<model>/<version>.json    one document, written last, whole or not at all
    objects/<SHA-256>                 the files that documents name, by what is in them

Documents come from whoever can write there: nothing in one is used before it was checked here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from marina.errors import MarinaError
from marina.reading import complaints
from marina.store.index import Entry
from marina.store.spec import NAME

LAYOUT = 1  # of documents and objects; a Marina that knows less says so
LARGEST_BYTES = 1_000_000  # of a document
VERSION = r"^[\w-][\w.-]*$"
DIGEST = r"^[0-9a-f]{64}$"


@dataclass(frozen=True)
class NamedFile:
    """A file that an entry names: where it lies in a store, and what must be in it.

    Attributes:
        size_bytes: None where the entry does not say.
    """

    folder: str
    name: str
    sha256: str
    size_bytes: int | None = None

    def may_have(self, size_bytes: int | None) -> bool:
        """Whether a file of a size, None if there is none, may be this one."""
        return size_bytes is not None and self.size_bytes in (None, size_bytes)


@dataclass(frozen=True)
class Shared:
    """A document that was checked.

    Attributes:
        text: what a signature is made over: the document without it, in one form alone.
        signature: of OpenSSH, in its own armour.
    """

    model: str
    version: str
    entry: Entry
    text: bytes
    signature: str | None = None

    def __str__(self) -> str:
        return f"{self.model} {self.version}"

    @property
    def document(self) -> bytes:
        """The bytes to write."""
        content = json.loads(self.text) | ({"signature": self.signature} if self.signature else {})
        return json.dumps(content, indent=2).encode() + b"\n"


class _Document(BaseModel):
    """Strict in what it is used for; keys that a later Marina adds are signed with the rest, and otherwise left alone."""

    model_config = ConfigDict(strict=True)

    layout: int
    model: str = Field(pattern=NAME)
    version: str = Field(pattern=VERSION)
    entry: Entry
    signature: str | None = None


def files_of(entry: Entry) -> Iterator[NamedFile]:
    """The files that make up a version; its archive is the last, as it is what counts."""
    for folder, name, sha256 in entry.beside:
        yield NamedFile(folder, name, sha256)
    yield NamedFile("archives", entry.archive, entry.sha256, entry.size_bytes)


def share(model: str, version: str, entry: Entry) -> Shared:
    """The document of an entry of ours; a spec's path on this machine stays here."""
    entry = entry.model_copy(update={"spec": entry.spec and model})
    content = {"layout": LAYOUT, "model": model, "version": version, "entry": entry.model_dump(mode="json")}
    return Shared(model, version, entry, _canonical(content))


def read_document(content: bytes, model: str, version: str) -> Shared:
    """A document from elsewhere, which must be that of a version.

    Raises:
        MarinaError: what is wrong with it.
    """
    try:
        raw = json.loads(content)
        _check_layout(raw)
        found = _Document.model_validate_json(content)
        _check(found, model, version)
        _check_printable(raw)
    except ValidationError as error:
        raise MarinaError(f"the entry of {model} {version} is malformed: {complaints(error, _Document)[0][:200]}") from error
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise MarinaError(f"the entry of {model} {version} is malformed: {reason}") from error
    signature = raw.pop("signature", None)
    return Shared(model, version, found.entry, _canonical(raw), signature)


def _canonical(content: dict[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _check_layout(raw: Any) -> None:
    layout = raw.get("layout") if isinstance(raw, dict) else None
    if isinstance(layout, int) and layout > LAYOUT:
        raise ValueError(f"it is written in layout {layout}, by a newer Marina than this one, which reads layout {LAYOUT}")


def _check(found: _Document, model: str, version: str) -> None:
    """That it is the document of this version, and that what it names can only be this version's."""
    entry = found.entry
    if (found.model, found.version) != (model, version):
        raise ValueError(f"it says that it is of {found.model} {found.version}")
    if entry.archive != f"{model}-{version}.mar":
        raise ValueError(f"it names the archive {entry.archive!r}; required '{model}-{version}.mar'")
    for file in files_of(entry):
        if not re.fullmatch(DIGEST, file.sha256):
            raise ValueError(f"it names the SHA-256 {file.sha256[:80]!r}; required 64 digits of hex")
        if not re.fullmatch(NAME, file.name):
            raise ValueError(f"it names the file {file.name[:80]!r}")
        if file.size_bytes is not None and file.size_bytes < 1:
            raise ValueError(f"it names a size of {file.size_bytes} bytes")
    if entry.spec is not None and not re.fullmatch(NAME, entry.spec):
        raise ValueError(f"it names the spec {entry.spec[:80]!r}; required the name of one")


def _check_printable(value: Any) -> None:
    """That no text in it can move a terminal's cursor: scripts print entries."""
    if isinstance(value, dict):
        for key, one in value.items():
            if key != "signature":  # has lines, is printed nowhere
                _check_printable(key)
                _check_printable(one)
    elif isinstance(value, list):
        for one in value:
            _check_printable(one)
    elif isinstance(value, str) and not value.isprintable():
        raise ValueError(f"it has a text with control characters: {value[:80]!r}")
