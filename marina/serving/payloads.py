"""What a person wants a model asked: files, folders, addresses, standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import requests

from marina.errors import MarinaError, UsageError

TIMEOUT_SECONDS = 30
LARGEST_BYTES = 6_553_500  # TorchServe's own limit of a request
CHUNK = 1 << 16
BYTES = "application/octet-stream"


class Payload(NamedTuple):
    """Bytes to send, and what the person calls them."""

    name: str
    content: bytes

    @property
    def headers(self) -> dict[str, str]:
        """Its content's type, as its name says it: JSON, or bytes that the handler looks into."""
        return {"Content-Type": "application/json" if self.name.endswith(".json") else BYTES}


def read_payloads(source: str) -> Iterator[Payload]:
    """The payloads of one source: a file, all files of a folder in the order of their names, a URL, or ``-``.

    Raises:
        UsageError: there is nothing to read.
        MarinaError: an address does not answer, or answers with too much.
    """
    if source == "-":
        yield Payload("standard input", sys.stdin.buffer.read())
    elif source.startswith(("http://", "https://")):
        yield Payload(source, _fetched(source))
    elif Path(source).is_dir():
        yield from _folder(Path(source))
    else:
        yield _file(Path(source))


def _folder(folder: Path) -> Iterator[Payload]:
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    if not files:
        raise UsageError(f"{folder}: the folder has no files")
    yield from map(_file, files)


def _file(path: Path) -> Payload:
    try:
        return Payload(str(path), path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error


def _fetched(url: str) -> bytes:
    content = bytearray()
    try:
        with requests.get(url, timeout=TIMEOUT_SECONDS, stream=True) as answer:
            answer.raise_for_status()
            for chunk in answer.iter_content(CHUNK):
                content += chunk
                if len(content) > LARGEST_BYTES:
                    raise MarinaError(f"{url}: larger than the {LARGEST_BYTES} bytes that the server takes")
    except requests.RequestException as error:
        raise MarinaError(f"{url}: could not be fetched: {error}") from error
    return bytes(content)
