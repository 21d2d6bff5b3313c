"""The layout of a zip file: that every reader finds the same files in it, and that it unpacks to no more than it may.

Python reads the list at a zip's end; TorchServe reads it from the start, file by file, and never looks at the list. A file
that shows different things to the two would be checked by one and run by the other: so each local header must say what
the list says, and nothing may lie before, between or behind them.
"""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

from marina.digests import CHUNK
from marina.errors import MarinaError

MOST_FILES = 10_000
LARGEST_LIST_BYTES = 10_000_000
LARGEST_BYTES = 200_000_000_000  # unpacked
LARGEST_RATIO = 100  # of sizes unpacked and packed; weights reach 1.1, texts 10
SMALL_BYTES = 100_000_000  # unpacked; so little hurts nobody, whatever its ratio

END = struct.Struct("<4s4H2LH")
END_64, LOCATOR_64 = struct.Struct("<4sQ2H2L4Q"), struct.Struct("<4sLQL")  # before it, of archives over 2 GB
LOCAL = struct.Struct("<4s5H3L2H")
ENCRYPTED, DESCRIPTOR, UTF_8 = 0x2041, 0x08, 0x800  # bits of the flags
FULL = 0xFFFFFFFF  # the size stands in an extra field
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # that Java reads


def check_end(path: Path) -> None:
    """See that a file ends as a zip does, and that its list of files can be read into memory.

    Raises:
        MarinaError: it is no zip, is cut off, something follows it, or its list is too long.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - END.size - LOCATOR_64.size - END_64.size))
        before, end = (tail := file.read())[: -END.size], tail[-END.size :]
    if len(end) < END.size or end[:4] != b"PK\5\6":
        raise MarinaError("is no zip file, is cut off, or something stands behind its end")
    files, list_bytes = END.unpack(end)[4:6]
    if files > MOST_FILES or list_bytes > LARGEST_LIST_BYTES:
        raise MarinaError(f"has more than {MOST_FILES} files, or a list of them over {LARGEST_LIST_BYTES // 10**6} MB")
    if before[-LOCATOR_64.size :][:4] == b"PK\6\7" and _told_in_64_bits(before) != (files, list_bytes):
        raise MarinaError("says two things of its list of files, at its end and before that")


def check_layout(path: Path, file: zipfile.ZipFile) -> None:
    """See that an opened zip's members are what TorchServe will find, plain files of a bearable size.

    Raises:
        MarinaError: the reason.
    """
    members = sorted(file.infolist(), key=lambda one: one.header_offset)
    check_sizes(len(members), sum(one.file_size for one in members), path.stat().st_size)
    for member in members:
        _check_kind(member)
    at = 0
    with path.open("rb") as raw:
        for member in members:
            if member.header_offset != at:
                raise MarinaError(f"has {_gap(member.header_offset, at)} before {member.filename[:80]!a}")
            at += _local_size(raw, member)
    if at != file.start_dir:
        raise MarinaError(f"has {_gap(file.start_dir, at)} before its list of files")


def check_sizes(files: int, unpacked: int, packed: int) -> None:
    """See that an archive can be unpacked without harm.

    Args:
        files: how many it has.
        unpacked: their bytes together.
        packed: its own bytes.

    Raises:
        MarinaError: too many, too large, or so much larger than the archive that it was made to fill a disk.
    """
    if files > MOST_FILES:
        raise MarinaError(f"has {files} files; {MOST_FILES} are the most")
    if unpacked > LARGEST_BYTES:
        raise MarinaError(f"unpacks to {unpacked / 1e9:.0f} GB; {LARGEST_BYTES / 1e9:.0f} GB are the most")
    if unpacked > SMALL_BYTES and unpacked > LARGEST_RATIO * packed:
        raise MarinaError(f"unpacks to {unpacked / packed:.0f} times its size; {LARGEST_RATIO} times are the most")


def _told_in_64_bits(before: bytes) -> tuple[int, ...]:
    """How many files there are, and bytes of their list, as Python believes it wherever it stands."""
    record = before[: -LOCATOR_64.size]
    return END_64.unpack(record)[7:9] if len(record) == END_64.size else ()


def _check_kind(member: zipfile.ZipInfo) -> None:
    name = f"{member.filename[:80]!a}"
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise MarinaError(f"has {name}, which is a {'link' if kind == stat.S_IFLNK else 'special file'}")
    if not (member.flag_bits & UTF_8 or member.orig_filename.isascii()):
        raise MarinaError(f"has {name}, whose name does not say its encoding; required UTF-8")
    if member.is_dir() and member.file_size:
        raise MarinaError(f"has the folder {name} with a content")
    if member.flag_bits & ENCRYPTED:
        raise MarinaError(f"has {name}, which is encrypted")
    if member.compress_type not in METHODS:
        raise MarinaError(f"has {name}, compressed in a way that TorchServe cannot read; required stored or deflated")
    if member.compress_type == zipfile.ZIP_STORED and (member.compress_size != member.file_size or member.flag_bits & DESCRIPTOR):
        raise MarinaError(f"has {name}, whose size is not told where TorchServe reads it")


def _local_size(raw: BinaryIO, member: zipfile.ZipInfo) -> int:
    """Bytes of a member from its local header, which must say what the list says, to its end."""
    raw.seek(member.header_offset)
    name, header = f"{member.filename[:80]!a}", raw.read(LOCAL.size)
    if len(header) < LOCAL.size or header[:4] != b"PK\3\4":
        raise MarinaError(f"has no header before {name}")
    fields: tuple[int, ...] = LOCAL.unpack(header)[2:]
    flags, method, _, _, crc, packed, size, length, extra = fields
    told = (flags, method, raw.read(length))
    if told != (member.flag_bits, member.compress_type, member.orig_filename.encode("utf-8" if flags & UTF_8 else "ascii")):
        raise MarinaError(f"says of {name} one thing in its list of files, and another before the file")
    more = raw.read(extra)
    sizes = _sizes(more) if FULL in (packed, size) else (size, packed)
    whole = LOCAL.size + length + extra + member.compress_size
    if flags & DESCRIPTOR:
        _check_stream(raw, member)
        raw.seek(member.header_offset + whole)
        return whole + _descriptor_size(member, raw.read(24))
    if (crc, *sizes) != (member.CRC, member.file_size, member.compress_size):
        raise MarinaError(f"says of {name} one size or checksum in its list of files, and another before the file")
    return whole


def _sizes(extra: bytes) -> tuple[int, ...]:
    """Sizes unpacked and packed, of a local header whose own fields are too small for them."""
    while len(extra) >= 4:
        kind, length = struct.unpack("<2H", extra[:4])
        if kind == 1 and length >= 16 and len(extra) >= 20:
            return struct.unpack("<2Q", extra[4:20])
        extra = extra[4 + length :]
    return ()


def _descriptor_size(member: zipfile.ZipInfo, found: bytes) -> int:
    """Bytes of what stands behind a member that was written before its size was known."""
    told = (member.CRC, member.compress_size, member.file_size)
    forms = [struct.pack("<L2Q", *told)] + ([struct.pack("<3L", *told)] if max(told) <= FULL else [])
    for form in [mark + form for mark in (b"PK\7\x08", b"") for form in forms]:
        if found.startswith(form):
            return len(form)
    raise _another_behind(member)


def _check_stream(raw: BinaryIO, member: zipfile.ZipInfo) -> None:
    """See that a deflated member ends where the list says: what stands behind it TorchServe looks for where its stream ends."""
    inflater, left, made = zlib.decompressobj(-zlib.MAX_WBITS), member.compress_size, 0
    while not inflater.eof and made <= member.file_size:
        packed = inflater.unconsumed_tail
        if not packed:
            packed = raw.read(min(CHUNK, left))
            left -= len(packed)
        content = inflater.decompress(packed, CHUNK)
        made += len(content)
        if not (packed or content):
            break
    if not inflater.eof or left or inflater.unused_data:
        raise _another_behind(member)


def _another_behind(member: zipfile.ZipInfo) -> MarinaError:
    name = f"{member.filename[:80]!a}"
    return MarinaError(f"says of {name} one size or checksum in its list of files, and another behind the file")


def _gap(found: int, expected: int) -> str:
    if found < 0:
        return f"lost {-found} bytes"
    return f"{found - expected} hidden bytes" if found > expected else "files that lie over each other"
