"""An archive in the archiver's format ``tgz``, made a ``.mar``: the one form that the store keeps."""

from __future__ import annotations

import gzip
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from marina.digests import CHUNK
from marina.errors import MarinaError
from marina.store.contents import DAMAGES, BadArchive
from marina.store.member_names import check_names
from marina.store.zip_layout import LARGEST_BYTES, LARGEST_RATIO, SMALL_BYTES, check_sizes

MAGIC = b"\x1f\x8b"
NO_TIME = (1980, 1, 1, 0, 0, 0)


def is_tgz(file: Path) -> bool:
    """Whether a file is compressed by gzip, whatever its name."""
    with file.open("rb") as opened:
        return opened.read(len(MAGIC)) == MAGIC


def to_mar(file: Path, target: Path) -> None:
    """Write the files of a ``.tar.gz`` as a ``.mar``, without the folder that all of them lie in, as TorchServe reads them.

    Raises:
        BadArchive: it is damaged, or could do harm.
    """
    packed = file.stat().st_size
    with _read(file) as members:
        names: list[str] = []
        total = 0
        for member in members:
            total += member.size
            check_sizes(len(names), total, packed)
            if not (member.isfile() or member.isdir()):
                raise MarinaError(f"has {member.name[:80]!a}, which is a link or a special file")
            names.append(_inside(member))
        check_names(name for name in names if name)
    with _read(file) as members, zipfile.ZipFile(target, "w") as made:
        for member in members:
            if member.isfile():
                content = cast("BinaryIO", members.extractfile(member))
                with made.open(zipfile.ZipInfo(_inside(member), NO_TIME), "w", force_zip64=True) as writer:
                    shutil.copyfileobj(content, writer, CHUNK)


def _inside(member: tarfile.TarInfo) -> str:
    """A member's name below the first folder."""
    first, slash, rest = member.name.partition("/")
    return (rest if slash else "" if member.isdir() else first) + ("/" if member.isdir() and rest else "")


@contextmanager
def _read(file: Path) -> Iterator[tarfile.TarFile]:
    """The archive, read from start to end, no further than a good one can reach."""
    largest = min(LARGEST_BYTES, max(SMALL_BYTES, LARGEST_RATIO * file.stat().st_size)) * 2
    try:
        with gzip.open(file) as unzipped, tarfile.open(fileobj=_Bounded(unzipped, largest), mode="r|") as members:  # type: ignore[call-overload]
            yield members
    except MarinaError as error:
        raise BadArchive(f"{file.name} {error}") from error
    except (tarfile.TarError, gzip.BadGzipFile, *DAMAGES) as error:
        raise BadArchive(f"{file.name} is damaged: {' '.join(str(error).split())[:200]}") from error


class _Bounded:
    """A file that ends with an error where it gives more than it may."""

    def __init__(self, file: gzip.GzipFile, largest: int) -> None:
        self._file, self._left = file, largest

    def read(self, size: int) -> bytes:
        content = self._file.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise MarinaError(f"unpacks to more than {LARGEST_RATIO} times its size")
        return content
