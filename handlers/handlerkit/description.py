"""What an archive says of itself: asked by GET /models/<model>/<version>?customized=true."""

from __future__ import annotations

import hashlib
from pathlib import Path

MANIFEST = "MAR-INF/MANIFEST.json"


def content_digest(folder: Path) -> str:
    """SHA-256 over the names and bytes of all files of an unpacked archive, in the order of their names.

    The manifest is left out, since an archiver may write it anew, and so is what Python compiles beside the modules.
    """
    digest = hashlib.sha256()
    for name in sorted(_files(folder)):
        digest.update(f"{name}\0{(folder / name).stat().st_size}\0".encode())
        with (folder / name).open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def _files(folder: Path) -> list[str]:
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return [path.as_posix() for path in paths if path.as_posix() != MANIFEST and "__pycache__" not in path.parts]
