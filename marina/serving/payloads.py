"""What a person wants a model asked: files, folders, addresses, standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import requests
from pydantic import BaseModel, ValidationError

from marina.errors import MarinaError, UsageError

TIMEOUT_SECONDS = 30
LARGEST_BYTES = 6_553_500  # TorchServe's own limit of a request
CHUNK = 1 << 16
BYTES = "application/octet-stream"
KEPT = ".payload"  # of a caller, with its headers


class Payload(NamedTuple):
    """Bytes to send, what the person calls them, and the headers that came with them where a caller sent them."""

    name: str
    content: bytes
    came_with: Mapping[str, str] | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        """Its content's type, as the caller said it, else as its name says it: JSON, or bytes that the handler looks into."""
        if self.came_with is not None:
            return self.came_with
        return {"Content-Type": "application/json" if self.name.endswith(".json") else BYTES}


class Kept(BaseModel):
    """What is known of a caller's request that was kept: the first line of its file, before the body as it came.

    Attributes:
        request_id: the gateway's.
        time: when it came, Unix seconds.
        key: the caller's, hashed, where there was one.
        headers: those that say how the body is to be read, and answered.
    """

    request_id: str
    time: float
    key: str | None = None
    headers: dict[str, str] = {}


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
        yield _given(Path(source))


def _folder(folder: Path) -> Iterator[Payload]:
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    if not files:
        raise UsageError(f"{folder}: the folder has no files")
    yield from map(_given, files)


def _given(path: Path) -> Payload:
    try:
        return read_file(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error


def read_file(path: Path) -> Payload:
    """The payload of a file.

    Raises:
        OSError: it cannot be read.
        UsageError: it should be one that the recorder kept, and is not.
    """
    content = path.read_bytes()
    if path.suffix != KEPT:
        return Payload(str(path), content)
    about, body = kept_payload(path, content)
    return Payload(str(path), body, about.headers)


def kept_payload(path: Path, content: bytes) -> tuple[Kept, bytes]:
    """What a file has that the recorder kept: what is known of the request, and its body.

    Raises:
        UsageError: it is none.
    """
    first, _, body = content.partition(b"\n")
    try:
        return Kept.model_validate_json(first), body
    except ValidationError as error:
        raise UsageError(f"{path}: {KEPT} is for requests that the recorder kept, and this is none: rename it") from error


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
