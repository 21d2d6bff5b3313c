"""An archive may come from anywhere: what could do harm is refused, with the reason, before anything of it is unpacked."""

from __future__ import annotations

import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile_archives import END, FILES, HOSTILE, inner_archive, manifest, streamed, with_manifest, write_zip

from marina.store import zip_layout
from marina.store.contents import BadArchive, look_into, read_file, unpack


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused(name: str, tmp_path: Path) -> None:
    """By whatever opens it, in one line with the reason; nothing is written."""
    make, reason = HOSTILE[name]
    archive = make(tmp_path / "hostile.mar")
    for action in (look_into, lambda one: read_file(one, "mine.py"), lambda one: unpack(one, tmp_path / "out")):
        with pytest.raises(BadArchive) as raised:
            action(archive)
        assert str(raised.value).startswith("hostile.mar ")
        assert reason in str(raised.value)
        assert "\n" not in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["hostile.mar"]


@pytest.mark.parametrize(
    "make",
    [
        write_zip,
        streamed,
        lambda path: write_zip(path, method=zipfile.ZIP_DEFLATED),
        lambda path: write_zip(path, ("folder/", b""), ("folder/ä.txt", b"")),
        inner_archive,
        with_manifest(manifest(handler="mine")),
        with_manifest(manifest(handler="mine.py:handle")),
        with_manifest(manifest(handler="image_classifier", runtime="python3", extensions={})),
    ],
)
def test_a_good_archive_is_taken(make: Callable[[Path], Path], tmp_path: Path) -> None:
    """Stored or compressed, written to a disk or a pipe, with each form of a handler that TorchServe takes."""
    contents = look_into(make(tmp_path / "good.mar"), "good", "1.0")
    assert set(FILES) < set(contents.names)
    assert unpack(tmp_path / "good.mar", tmp_path / "out") == contents
    assert (tmp_path / "out" / "model.pt").read_bytes() == FILES["model.pt"]
    assert read_file(tmp_path / "good.mar", "mine.py") == FILES["mine.py"]


def test_a_manifest_that_lies_is_refused(tmp_path: Path) -> None:
    """An archive that is given for another model or version than its manifest says."""
    archive = write_zip(tmp_path / "good-2.0.mar")
    with pytest.raises(BadArchive, match=r"says in its manifest that it is the version '1.0'; required '2.0'"):
        look_into(archive, "good", "2.0")
    with pytest.raises(BadArchive, match="says in its manifest that it is the model 'good'; required 'better'"):
        look_into(archive, "better", "1.0")


def test_no_flipped_byte_gets_through_as_another_file(tmp_path: Path) -> None:
    """Each byte of an archive, one after the other: it is refused, or what is unpacked is what was packed, to the bit."""
    content = write_zip(tmp_path / "good.mar").read_bytes()
    refused = 0
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= random.Random(position).randrange(1, 256)  # noqa: S311 - no secret
        (tmp_path / "flipped.mar").write_bytes(changed)
        folder = tmp_path / f"out{position}"
        try:
            contents = unpack(tmp_path / "flipped.mar", folder)
        except BadArchive:
            refused += 1
        else:
            assert {name: (folder / name).read_bytes() for name in contents.names} == _unpacked(tmp_path / "good.mar")
    assert refused > 0.8 * len(content)


def test_a_size_that_needs_64_bits_is_read(tmp_path: Path) -> None:
    """Archives of many gigabytes have their sizes in an extra field."""
    with zipfile.ZipFile(tmp_path / "good.mar", "w") as file:
        for name, data in [*FILES.items(), ("MAR-INF/MANIFEST.json", manifest())]:
            with file.open(name, "w", force_zip64=True) as member:
                member.write(data)
    assert look_into(tmp_path / "good.mar").model.name == "good"


def test_an_end_of_64_bits_that_says_the_same_is_read(tmp_path: Path) -> None:
    """Python writes one into archives of more than two gigabytes."""
    content = write_zip(tmp_path / "good.mar").read_bytes()
    files, size, at = struct.unpack_from("<HLL", content, len(content) - END + 10)
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, files, files, size, at)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(content) - END, 1)
    (tmp_path / "good.mar").write_bytes(content[:-END] + record + locator + content[-END:])
    assert look_into(tmp_path / "good.mar").model.name == "good"


def test_too_large_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is generous; whatever is beyond it is refused by what the list says."""
    monkeypatch.setattr(zip_layout, "LARGEST_BYTES", 300)
    with pytest.raises(BadArchive, match="unpacks to 0 GB; 0 GB are the most"):
        look_into(write_zip(tmp_path / "good.mar"))


def _unpacked(archive: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as file:
        return {name: file.read(name) for name in file.namelist()}
