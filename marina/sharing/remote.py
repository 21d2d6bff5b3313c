"""The other place: S3, any address that fsspec knows, or a folder.

Where it is an object store, what is written is there whole or not at all; elsewhere a file is written under another name
beside its own, and then moved.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
from filelock import FileLock
from fsspec.callbacks import Callback

from marina.console import step
from marina.errors import MarinaError, UsageError
from marina.sharing.documents import LARGEST_BYTES, VERSION
from marina.sharing.refusals import in_one_line, without_credentials
from marina.store.spec import NAME

PART_BYTES = 8 << 20  # of a file that is sent to S3 in parts
S3_NAMES = ("s3", "s3a")
OBJECT_STORES = {*S3_NAMES, "gs", "gcs", "abfs", "abfss", "az", "oss", "oci", "memory"}
S3_RETRIES = 2  # of s3fs, around those of botocore
S3: dict[str, Any] = {"connect_timeout": 5, "read_timeout": 20, "retries": {"mode": "standard", "total_max_attempts": 3}}


@dataclass(frozen=True)
class Listed:
    """A document that is there; ``tag`` changes with its content, where the place has such tags."""

    path: str
    size_bytes: int
    tag: str | None


class Remote:
    """A shared store at an address.

    Raises:
        UsageError: the address is none, or its package is not installed.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.protocol, self._files, self._root = _connect(address)

    def __str__(self) -> str:
        return without_credentials(self.address)

    def is_folder(self, folder: Path) -> bool:
        """Whether it is a folder of this machine, and this one."""
        return self.protocol == "file" and Path(self._root) == folder.resolve()

    def listing(self) -> dict[tuple[str, str], Listed]:
        """The documents that there are, by model and version; files of other names are left out.

        Raises:
            MarinaError: the place refuses, or is not there.
        """
        found = {}
        for path, info in self._list("entries").items():
            model, _, name = path.removeprefix(f"{self._root}/entries/").partition("/")
            version = name.removesuffix(".json")
            if version != name and re.fullmatch(NAME, model) and re.fullmatch(VERSION, version):
                found[model, version] = Listed(path, info["size"], info.get("ETag"))
        return dict(sorted(found.items()))

    def read(self, listed: Iterable[Listed]) -> list[bytes]:
        """The content of documents, in order.

        Raises:
            MarinaError: the place refuses, or one is too large to be one.
        """
        wanted = list(listed)
        for one in wanted:
            if one.size_bytes > LARGEST_BYTES:
                raise MarinaError(f"{self}: {one.path} has {one.size_bytes:,} bytes; an entry has {LARGEST_BYTES:,} at most")
        with in_one_line(self.address):
            sizes = [one.size_bytes for one in wanted]
            return [bytes(one) for one in self._files.cat_ranges([one.path for one in wanted], [0] * len(sizes), sizes)]

    def objects(self) -> dict[str, int]:
        """The files that are there, by their SHA-256 as it was when they were pushed, and their sizes in bytes."""
        return {path.rpartition("/")[2]: info["size"] for path, info in self._list("objects").items()}

    def put(self, source: Path, sha256: str, callback: Callback) -> None:
        """Write a file's content as an object.

        Raises:
            MarinaError: the place refuses, or keeps another size than was sent.
        """
        parts = {"chunksize": PART_BYTES} if self.protocol in S3_NAMES else {}
        with in_one_line(self.address), self._whole(f"{self._root}/objects/{sha256}") as path:
            self._files.put_file(str(source), path, callback=callback, **parts)
            kept, sent = self._files.info(path)["size"], source.stat().st_size
            if kept != sent:
                raise MarinaError(f"{self}: has {kept:,} bytes of the {sent:,} of {source.name}: run this again")

    def write(self, model: str, version: str, content: bytes, before: Listed | None, replaced: bytes | None) -> None:
        """Write a version's document, if nobody has written it since it was looked at.

        Args:
            model: its name.
            version: its name.
            content: the document.
            before: what was listed of it, if anything was.
            replaced: its content then.

        Raises:
            MarinaError: somebody has, or the place refuses.
        """
        path = f"{self._root}/entries/{model}/{version}.json"
        with in_one_line(self.address):
            if self.protocol in S3_NAMES and before:
                done = _unless_refused(lambda: self._files.pipe_file(path, content, IfMatch=before.tag))
            elif self.protocol in OBJECT_STORES and not before:
                done = _unless_refused(lambda: self._files.pipe_file(path, content, mode="create"))
            else:
                done = (self._files.cat_file(path) if self._files.exists(path) else None) == replaced
                if done:
                    with self._whole(path) as partial:
                        self._files.pipe_file(partial, content)
        if not done:
            raise MarinaError(
                f"{self}: {model} {version} was pushed by somebody else meanwhile: run this again to see what it is"
            )

    def get(self, sha256: str, target: Path, callback: Callback) -> None:
        """Write an object's bytes into a file of ours.

        Raises:
            MarinaError: the place refuses, or is gone meanwhile.
        """
        with in_one_line(self.address):
            self._files.get_file(f"{self._root}/objects/{sha256}", str(target), callback=callback)

    @contextmanager
    def pushing(self) -> Iterator[None]:
        """While this is open nobody else pushes into the same folder; elsewhere ``write`` sees to it alone."""
        if self.protocol != "file":
            yield
            return
        with in_one_line(self.address):
            lock = FileLock(Path(self._root) / ".push.lock")
        with held(lock, f"another push into {self}"):
            for left in Path(self._root).glob("*/**/.*.partial"):  # of pushes that were killed
                left.unlink(missing_ok=True)
            yield

    def _list(self, folder: str) -> dict[str, Any]:
        with in_one_line(self.address):
            try:
                found: dict[str, Any] = self._files.find(f"{self._root}/{folder}", detail=True)
                return found
            except FileNotFoundError as error:
                raise MarinaError(f"{self}: is not there ({error}): create the bucket or the folder first") from error

    @contextmanager
    def _whole(self, path: str) -> Iterator[str]:
        """A path to write to, whose file is at its own path only when it is whole."""
        if self.protocol in OBJECT_STORES:
            yield path
            return
        folder, _, name = path.rpartition("/")
        self._files.makedirs(folder, exist_ok=True)
        partial = f"{folder}/.{name}.{uuid.uuid4().hex}.partial"
        try:
            yield partial
            self._files.mv(partial, path)
        finally:
            if self._files.exists(partial):
                self._files.rm_file(partial)


@contextmanager
def held(lock: FileLock, what: str) -> Iterator[None]:
    """Hold a lock; where another process has it, say so and wait."""
    if not _taken(lock):
        step(f"{what} runs: waiting for it to end")
        lock.acquire(timeout=-1)
    try:
        yield
    finally:
        lock.release()


def _taken(lock: FileLock) -> bool:
    try:
        lock.acquire(timeout=0)
    except TimeoutError:
        return False
    return True


def _unless_refused(write: Any) -> bool:
    """Whether a write that has a condition was done."""
    try:
        write()
    except OSError as error:
        code = getattr(error.__cause__, "response", {}).get("Error", {}).get("Code")
        if isinstance(error, FileExistsError) or code in ("PreconditionFailed", "ConditionalRequestConflict", "412", "409"):
            return False
        raise
    return True


def _connect(address: str) -> tuple[str, Any, str]:
    """The protocol, the file system and the path in it of an address."""
    shown = without_credentials(address)
    protocol, separator, path = address.partition("://")
    if not separator:
        protocol, path = "file", address
    if "::" in address or not path.strip("/"):
        raise UsageError(f"{shown!r} is no place for a store: required an address such as s3://bucket/folder, or a folder")
    if protocol == "file" and not Path(path).is_dir():
        raise UsageError(f"{path} is no folder: create it first, or give an address such as s3://bucket/folder")
    with in_one_line(address):
        files, root = _file_system(protocol, str(Path(path).resolve()) if protocol == "file" else address)
    return protocol, files, root.rstrip("/")


def _file_system(protocol: str, address: str) -> tuple[Any, str]:
    options = {"config_kwargs": S3, "use_listings_cache": False} if protocol in S3_NAMES else {}
    try:
        files, root = fsspec.core.url_to_fs(address, skip_instance_cache=True, **options)
    except ImportError as error:
        raise UsageError(f"{without_credentials(address)}: {' '.join(str(error).split())}") from error
    except ValueError as error:
        if protocol not in fsspec.available_protocols():
            raise UsageError(
                f"{without_credentials(address)}: no protocol '{protocol}': s3, gs, sftp and file are some"
            ) from error
        raise
    if protocol in S3_NAMES:
        files.retries = S3_RETRIES
    return files, root
