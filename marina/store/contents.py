"""Look into an archive that may have come from anywhere, and unpack it, without being hurt by it.

Everything of ours that opens an archive does it here: names that lead out of the folder, links, duplicates, bombs, hidden
bytes, encrypted or damaged files, and manifests that name what is not there, are refused with the reason.
"""

from __future__ import annotations

import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from marina.digests import CHUNK
from marina.errors import MarinaError
from marina.store.manifest import LARGEST_BYTES as LARGEST_MANIFEST
from marina.store.manifest import MANIFEST, Model, read_manifest
from marina.store.member_names import check_names
from marina.store.zip_layout import check_end, check_layout

LARGEST_READ = 100_000_000  # bytes of one file that is read whole: a sample, a configuration
DAMAGES = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
)


class BadArchive(MarinaError):
    """An archive that is damaged, or that was made to do harm."""


@dataclass(frozen=True)
class Contents:
    """What is in an archive.

    Attributes:
        model: what its manifest says.
        names: of its files, in order; folders are left out.
        unpacked_bytes: of all of them.
    """

    model: Model
    names: tuple[str, ...]
    unpacked_bytes: int


def look_into(archive: Path, model: str | None = None, version: str | None = None) -> Contents:
    """What is in an archive; of its files only the manifest is read, so that it takes milliseconds for many GB.

    Args:
        archive: a ``.mar``.
        model: the name that its manifest must have, if any.
        version: likewise.

    Raises:
        BadArchive: it is damaged, could do harm, TorchServe would not take it, or its manifest has another name.
    """
    with opened(archive) as (_, contents):
        _check_identity(contents.model, model, version)
        return contents


def unpack(archive: Path, folder: Path) -> Contents:
    """Unpack an archive into a new folder; every file's checksum is compared.

    Raises:
        BadArchive: as ``look_into``, or a file is damaged.
        MarinaError: there is no room for it.
    """
    needed, free = look_into(archive).unpacked_bytes, shutil.disk_usage(folder.parent).free
    if needed > free:
        raise MarinaError(
            f"{archive.name} unpacks to {needed / 1e6:,.0f} MB, and {folder.parent} has room for {free / 1e6:,.0f} MB: "
            "free some space, or name another folder by TMPDIR"
        )
    with opened(archive) as (file, contents):
        for name in contents.names:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with file.open(name) as reader, target.open("xb") as writer:
                shutil.copyfileobj(reader, writer, CHUNK)
        return contents


def read_file(archive: Path, name: str) -> bytes:
    """One small file of an archive.

    Raises:
        BadArchive: as ``look_into``, or the archive has no such file, or it is damaged or too large.
    """
    with opened(archive) as (file, _):
        return read_member(file, name)


def read_member(file: zipfile.ZipFile, name: str, largest: int = LARGEST_READ) -> bytes:
    """One small file of an archive that ``opened`` gave."""
    if name not in file.namelist():
        raise MarinaError(f"has no {name[:80]}")
    if file.getinfo(name).file_size > largest:
        raise MarinaError(f"has a {name[:80]} of more than {largest:,} bytes")
    with file.open(name) as opened:
        return opened.read(file.getinfo(name).file_size)  # asked for all that there is, Python unpacks what the list keeps quiet


@contextmanager
def opened(archive: Path) -> Iterator[tuple[zipfile.ZipFile, Contents]]:
    """The archive as an open zip file, after all checks, for as long as it is read.

    Raises:
        BadArchive: what is wrong with it, also what is found while it is read.
    """
    try:
        check_end(archive)
        with zipfile.ZipFile(archive) as file:
            yield file, _contents(archive, file)
    except BadArchive:
        raise
    except MarinaError as error:
        raise BadArchive(f"{archive.name} {error}") from error
    except DAMAGES as error:
        raise BadArchive(f"{archive.name} is damaged: {' '.join(str(error).split())[:200] or type(error).__name__}") from error


def _contents(archive: Path, file: zipfile.ZipFile) -> Contents:
    check_layout(archive, file)
    members = file.infolist()
    check_names(one.orig_filename for one in members)
    files = [one for one in members if not one.is_dir()]
    names = tuple(one.filename for one in files)
    model = read_manifest(read_member(file, MANIFEST, LARGEST_MANIFEST), names)
    return Contents(model, names, sum(one.file_size for one in files))


def _check_identity(found: Model, model: str | None, version: str | None) -> None:
    for what, has, required in (("the model", found.name, model), ("the version", found.version, version)):
        if required is not None and has != required:
            raise MarinaError(f"says in its manifest that it is {what} {has!r}; required {required!r}")
