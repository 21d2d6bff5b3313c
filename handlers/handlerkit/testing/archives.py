"""An archive as a worker finds it: unpacked, in a folder."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

MANIFEST = Path("MAR-INF") / "MANIFEST.json"
CONFIG = "model-config.yaml"


def pack(  # noqa: PLR0913 - what torch-model-archiver takes
    folder: Path,
    handler: str | Path,
    serialized_file: str | Path | None = None,
    *,
    model_file: str | Path | None = None,
    extra_files: Sequence[str | Path] = (),
    config: Mapping[str, Any] | None = None,
    model_name: str = "model",
    version: str = "1.0",
) -> Path:
    """Lay out in ``folder`` what torch-model-archiver would zip of the same arguments.

    Args:
        folder: to be made.
        handler: a Python file, also with ``:function`` behind it, or the name of one of TorchServe's own.
        serialized_file: the network.
        model_file: its Python code.
        extra_files: files, which arrive beside each other, and folders, of which the content does.
        config: content of model-config.yaml.
        model_name: what the handler is told.
        version: likewise.

    Returns:
        The folder.

    Raises:
        FileNotFoundError: one of the files is not there.
    """
    (folder / MANIFEST).parent.mkdir(parents=True)
    file, _, function = str(handler).partition(":")
    own = Path(file).suffix == ".py"
    named = {"serializedFile": serialized_file, "modelFile": model_file, "handler": file if own else None}
    for one in [path for path in named.values() if path] + list(extra_files):
        _copy(Path(one), folder)
    model = {key: Path(path).name for key, path in named.items() if path} | {"modelName": model_name, "modelVersion": version}
    model["handler"] = (Path(file).name if own else file) + (f":{function}" if function else "")
    if config is not None:
        (folder / CONFIG).write_text(yaml.safe_dump(dict(config)), encoding="utf-8")
        model["configFile"] = CONFIG
    (folder / MANIFEST).write_text(json.dumps({"model": model}), encoding="utf-8")
    return folder


def unpack(archive: Path, folder: Path) -> Path:
    """The folder of an archive: itself, or, of a .mar, ``folder``."""
    if archive.is_dir():
        return archive
    with zipfile.ZipFile(archive) as file:
        file.extractall(folder)
    return folder


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of an unpacked archive.

    Raises:
        FileNotFoundError: it has none.
    """
    manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return manifest


def _copy(source: Path, folder: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, folder, dirs_exist_ok=True)
    else:
        shutil.copy(source, folder)
