"""Archives that were damaged, or made to do harm: each is a small good one with one thing changed."""

from __future__ import annotations

import io
import json
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

MANIFEST = "MAR-INF/MANIFEST.json"
MODEL = {"modelName": "good", "modelVersion": "1.0", "handler": "mine.py", "serializedFile": "model.pt"}
FILES = {"mine.py": b"class Mine: pass\n", "model.pt": b"weights" * 50}
END = 22  # bytes that a zip ends with


def manifest(runtime: Any = "python", **model: Any) -> bytes:
    """A manifest with some of the model's keys changed; None leaves one out."""
    kept = {key: value for key, value in (MODEL | model).items() if value is not None}
    return json.dumps({"runtime": runtime, "model": kept, "archiverVersion": "0.12.0"}).encode()


def write_zip(
    path: Path, *more: tuple[str | zipfile.ZipInfo, bytes], content: bytes | None = None, method: int = zipfile.ZIP_STORED
) -> Path:
    """A good archive at ``path`` with more members, by name or as they are described."""
    with warnings.catch_warnings(action="ignore", category=UserWarning), zipfile.ZipFile(path, "w", method) as file:
        for name, data in [*FILES.items(), *more]:
            file.writestr(name, data)
        file.writestr(MANIFEST, manifest() if content is None else content)
    return path


def with_manifest(content: bytes) -> Callable[[Path], Path]:
    """Makes an archive with this manifest."""
    return lambda path: write_zip(path, content=content)


def with_member(name: str, data: bytes = b"x", mode: int = 0o100644, method: int = zipfile.ZIP_STORED) -> Callable[[Path], Path]:
    """Makes an archive with one more member, of any name and kind."""
    info = zipfile.ZipInfo("x")
    info.filename, info.external_attr, info.compress_type = name, mode << 16, method
    return lambda path: write_zip(path, (info, data))


def with_two(first: str, second: str) -> Callable[[Path], Path]:
    """Makes an archive with two more members."""
    return lambda path: write_zip(path, (first, b"x"), (second, b"y"))


def with_bytes(change: Callable[[bytes], bytes]) -> Callable[[Path], Path]:
    """Makes an archive whose bytes were changed."""

    def make(path: Path) -> Path:
        write_zip(path).write_bytes(change(path.read_bytes()))
        return path

    return make


def with_flag(bit: int) -> Callable[[Path], Path]:
    """Makes an archive whose first member has a flag, in its header and in the list."""

    def change(content: bytes) -> bytes:
        at = content.index(b"PK\1\2")
        changed = bytearray(content)
        changed[6] |= bit
        changed[at + 8] |= bit
        return bytes(changed)

    return with_bytes(change)


def hidden_between(content: bytes) -> bytes:
    """Bytes between the last file and the list, which the list does not tell and TorchServe reads."""
    at = content.index(b"PK\1\2")
    end = bytearray(content[-END:])
    end[16:20] = struct.pack("<L", at + 40)
    return content[:at] + b"h" * 40 + content[at:-END] + bytes(end)


def hidden_in_stream(path: Path) -> Path:
    """Another file, where the first one's stream ends: Python looks for what comes next behind it, and TorchServe finds it."""
    content = streamed(path).read_bytes()
    start = 30 + len("mine.py")
    end = content.index(b"PK\7\x08", start)
    evil = b"class Evil: pass\n"
    header = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 0, zlib.crc32(evil), len(evil), len(evil), len("evil.py"), 0)
    hidden = content[end : end + 16] + header + b"evil.py" + evil
    longer = bytearray(content[:end] + hidden + content[end:])
    _add(longer, end + len(hidden) + 8, len(hidden))
    places = [found.start() for found in re.finditer(b"PK\1\2", bytes(longer))]
    _add(longer, places[0] + 20, len(hidden))
    for place in places[1:]:
        _add(longer, place + 42, len(hidden))
    _add(longer, len(longer) - END + 16, len(hidden))
    path.write_bytes(longer)
    return path


def _add(content: bytearray, place: int, more: int) -> None:
    content[place : place + 4] = struct.pack("<L", struct.unpack_from("<L", content, place)[0] + more)


def two_ends(content: bytes) -> bytes:
    """An end of 64 bits, which Python believes, tells of a list that is longer than the end that everybody reads."""
    at = content.index(b"PK\1\2")
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 2**40, 2**40, 2**40, at)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(content) - END, 1)
    return content[:-END] + record + locator + content[-END:]


def manifest_that_grows(path: Path) -> Path:
    """A manifest with hundreds of megabytes of spaces, of which the list says that it is short."""
    write_zip(path, content=manifest(), method=zipfile.ZIP_DEFLATED)
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = b"".join(packer.compress(b" " * 1_000_000) for _ in range(300)) + packer.flush()
    content = path.read_bytes()
    name = MANIFEST.encode()
    place = content.index(name) + len(name)
    size = zipfile.ZipFile(path).getinfo(MANIFEST).compress_size
    longer = bytearray(content[:place] + packed + content[place + size :])
    more = len(packed) - size
    _add(longer, place - len(name) - 30 + 18, more)
    _add(longer, bytes(longer).rindex(name) - 46 + 20, more)
    _add(longer, len(longer) - END + 16, more)
    path.write_bytes(longer)
    return path


def inner_archive(path: Path) -> Path:
    """A zip that is no zip for anybody: a whole archive stands inside a file of another, and nobody looks there."""
    inner = write_zip(path.with_name("inner.zip")).read_bytes()
    path.with_name("inner.zip").unlink()
    return write_zip(path, ("inner.zip", inner))


def another_name_before(content: bytes) -> bytes:
    """The first file's own header names another file than the list does."""
    return content.replace(b"mine.py", b"evil.py", 1)


def bomb(path: Path) -> Path:
    """Two hundred megabytes of nothing in two hundred kilobytes."""
    info = zipfile.ZipInfo("zeros.bin")
    info.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "w") as file:
        for name, data in FILES.items():
            file.writestr(name, data)
        file.writestr(MANIFEST, manifest())
        with file.open(info, "w") as member:
            for _ in range(200):
                member.write(bytes(1_000_000))
    return path


def crowd(path: Path) -> Path:
    """Ten thousand empty files and some."""
    return write_zip(path, *((f"f{number}", b"") for number in range(10_001)))


def streamed(path: Path) -> Path:
    """A good archive, written to a pipe: its sizes stand behind its files."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: Any) -> int:
            raise OSError("a pipe")

        def tell(self) -> int:
            raise OSError("a pipe")

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in [*FILES.items(), (MANIFEST, manifest())]:
            file.writestr(name, data)
    path.write_bytes(pipe.getvalue())
    return path


def without_manifest(path: Path) -> Path:
    """A zip of a handler alone."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("mine.py", FILES["mine.py"])
    return path


HOSTILE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "climbs": (with_member("../evil.py"), "has a file named '../evil.py', which leads out of its folder"),
    "climbs-inside": (with_member("a/../../evil"), "'a/../../evil', which leads out of its folder"),
    "absolute": (with_member("/etc/evil"), "'/etc/evil', which is an absolute path"),
    "drive": (with_member("C:/evil"), "'C:/evil', which is an absolute path"),
    "backslash": (with_member("..\\evil"), "which has a backslash"),
    "empty-part": (with_member("a//b"), "'a//b', which is no plain path"),
    "dot": (with_member("./mine.pyx"), "which is no plain path"),
    "control": (with_member("a\nb"), "which has characters that cannot be shown"),
    "compiled": (with_member("__pycache__/mine.cpython-311.pyc"), "which is compiled code, that Python may run in place"),
    "nul": (with_member("a\0b"), "which has characters that cannot be shown"),
    "long": (with_member("n" * 1001), "which is too long"),
    "link": (with_member("weights", b"/etc/passwd", 0o120777), "has 'weights', which is a link"),
    "device": (with_member("pipe", b"", 0o010644), "has 'pipe', which is a special file"),
    "folder-with-content": (with_member("folder/", b"x"), "has the folder 'folder/' with a content"),
    "same-name": (with_member("mine.py"), "has 'mine.py' and 'mine.py': one would take the place of the other"),
    "same-name-but-case": (with_member("Mine.PY"), "has 'mine.py' and 'Mine.PY': one would take the place of the other"),
    "file-as-folder": (with_member("mine.py/inner"), "has 'mine.py/inner' inside 'mine.py', which is a file"),
    "bzip2": (with_member("b", method=zipfile.ZIP_BZIP2), "has 'b', compressed in a way that TorchServe cannot read"),
    "bomb": (bomb, "times its size; 100 times are the most"),
    "crowd": (crowd, "has more than 10000 files"),
    "encrypted": (with_flag(1), "has 'mine.py', which is encrypted"),
    "size-not-told": (with_flag(8), "whose size is not told where TorchServe reads it"),
    "empty": (with_bytes(lambda _: b""), "is no zip file, is cut off"),
    "text": (with_bytes(lambda _: b"no archive, " * 10), "is no zip file, is cut off"),
    "truncated": (with_bytes(lambda content: content[:-40]), "is no zip file, is cut off"),
    "first-half-lost": (with_bytes(lambda content: content[200:]), "has lost 200 bytes before 'mine.py'"),
    "prefix": (with_bytes(lambda content: b"#!/bin/sh\n" + content), "has 10 hidden bytes before 'mine.py'"),
    "suffix": (with_bytes(lambda content: content + b"more"), "or something stands behind its end"),
    "hidden-between": (with_bytes(hidden_between), "has 40 hidden bytes before its list of files"),
    "hidden-in-stream": (hidden_in_stream, "says of 'mine.py' one size or checksum in its list of files, and another behind"),
    "two-ends": (with_bytes(two_ends), "says two things of its list of files"),
    "right-to-left": (with_member("mine\u202eyp.exe"), "which has characters that cannot be shown"),
    "accents": (with_two("caf\u00e9.py", "cafe\u0301.py"), "one would take the place of the other"),
    "two-names": (with_bytes(another_name_before), "says of 'mine.py' one thing in its list of files, and another before"),
    "no-manifest": (without_manifest, "has no MAR-INF/MANIFEST.json"),
    "manifest-no-json": (with_manifest(b"{"), "its MAR-INF/MANIFEST.json is not valid: "),
    "manifest-a-list": (with_manifest(b"[]"), "is not valid: "),
    "manifest-deep": (with_manifest(b'{"a":' * 100_000), "is not valid: "),
    "manifest-huge": (with_manifest(b" " * (1 << 20) + manifest()), "has a MAR-INF/MANIFEST.json of more than 1,048,576 bytes"),
    "manifest-that-grows": (manifest_that_grows, "is damaged: Bad CRC-32 for file 'MAR-INF/MANIFEST.json'"),
    "manifest-no-model": (with_manifest(b"{}"), "'model' is required"),
    "manifest-number": (with_manifest(manifest(modelVersion=1.0)), 'write it in quotes: "1.0"'),
    "no-version": (with_manifest(manifest(modelVersion=None)), "'model.modelVersion' is required"),
    "name-a-path": (with_manifest(manifest(modelName="../good")), "'model.modelName': String should match pattern"),
    "version-a-path": (with_manifest(manifest(modelVersion="1/2")), "'model.modelVersion': String should match pattern"),
    "lsp": (with_manifest(manifest(runtime="LSP")), "its manifest names the runtime 'LSP'; TorchServe starts python and python3"),
    "no-handler": (with_manifest(manifest(handler="other.py")), "its manifest names other.py, which the archive does not have"),
    "handler-a-path": (with_manifest(manifest(handler="/opt/mine.py")), "its manifest names the handler '/opt/mine.py'"),
    "no-weights": (with_manifest(manifest(serializedFile="w.pt")), "its manifest names w.pt, which the archive does not have"),
    "weights-elsewhere": (with_manifest(manifest(serializedFile="/etc/passwd")), "names /etc/passwd, which the archive does not"),
}
