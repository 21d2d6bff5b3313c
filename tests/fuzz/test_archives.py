"""Whatever an archive's bytes are, it is refused in one line, or unpacks to files that it lists, inside its folder."""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path

from hostile_archives import FILES, MANIFEST, manifest, streamed, write_zip
from hypothesis import given
from hypothesis import strategies as st
from mutations import changed_bytes

from marina.config.check import check_file
from marina.config.place import Place
from marina.store.contents import BadArchive, unpack
from marina.store.samples import sample_of
from marina.store.tgz import to_mar

MODEL_CONFIG = b"minWorkers: 1\nhandlerkit: {runtime: onnx, sample: {request: mine.py, label: a}}\n"


def _zips() -> list[bytes]:
    more = (("model-config.yaml", MODEL_CONFIG), ("a/b.txt", b"b"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "good.mar"
        stored = write_zip(path, *more).read_bytes()
        return [stored, write_zip(path, *more, method=zipfile.ZIP_DEFLATED).read_bytes(), streamed(path).read_bytes()]


def _tars() -> list[bytes]:
    made = []
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=form) as tar:
            for name, content in {**FILES, MANIFEST: manifest(), f"{'a' * 60}/{'b' * 60}": b"long"}.items():
                info = tarfile.TarInfo(f"good/{name}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        made.append(file.getvalue()[:8192])
    return made


ZIPS, TARS = _zips(), _tars()


@given(content=changed_bytes(ZIPS, 3))
def test_a_changed_archive_is_refused_or_unpacks_to_what_it_lists(content: bytes, tmp_path: Path) -> None:
    """Lengths, flags, checksums and names overwritten, parts doubled or taken out; whoever reads it says one line."""
    archive, folder = tmp_path / "changed.mar", tmp_path / "out"
    archive.write_bytes(content)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        contents = unpack(archive, folder)
        sample_of(archive)
    except BadArchive as error:
        said = str(error)
    except (KeyError, TypeError):
        said = "there is no sample"  # as its caller says
    else:
        said = ""
        assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == set(contents.names)
    assert "\n" not in said
    assert {path.name for path in tmp_path.iterdir()} <= {"changed.mar", "out"}
    if zipfile.is_zipfile(archive):
        assert all("\n" not in str(one) for one in check_file(archive, Place(tmp_path)))


@given(content=changed_bytes(TARS, 3), is_zipped=st.booleans())
def test_a_changed_tar_is_refused_or_becomes_an_archive(content: bytes, is_zipped: bool, tmp_path: Path) -> None:
    """Sizes, kinds, checksums and headers of any form overwritten, before and after compression."""
    file, made = tmp_path / "changed.tar.gz", tmp_path / "made.mar"
    file.write_bytes(gzip.compress(content, 1, mtime=0) if is_zipped else b"\x1f\x8b\x08" + content)
    said = ""
    try:
        to_mar(file, made)
    except BadArchive as error:
        said = str(error)
    assert "\n" not in said
