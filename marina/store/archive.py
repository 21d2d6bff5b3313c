"""Put files into a ``.mar``: written by TorchServe's own archiver, then made the same byte for byte each time."""

from __future__ import annotations

import errno
import importlib.util
import io
import json
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from model_archiver.model_archiver_config import ModelArchiverConfig
from model_archiver.model_packaging import generate_model_archive
from ruamel.yaml import YAML

from marina import paths
from marina.digests import CHUNK, LEFT_BY_TOOLS
from marina.errors import MarinaError, UsageError
from marina.store.exporters import Exported
from marina.store.files import own_files
from marina.store.labels import Entries
from marina.store.manifest import MANIFEST
from marina.store.samples import MODEL_CONFIG
from marina.store.spec import FILE_NAME, SpecFile

NO_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can hold
STORED = (".pt", ".pt2", ".onnx", ".bin", ".png", ".jpg")  # compressed already, or not worth it


def archive_name(model: str, version: str) -> str:
    """Name of an archive's file."""
    return f"{model}-{version}.mar"


def write_archive(found: SpecFile, version: str, exported: Exported, labels: Entries | None, target: Path) -> None:
    """Stage everything a worker needs and archive it as ``target``; the same files give the same bytes.

    Raises:
        UsageError: the handler's name, or a file's of the spec, hides what a worker needs.
        MarinaError: the archive cannot be written; nothing is left behind.
    """
    _check_name(found.handler)
    with tempfile.TemporaryDirectory(prefix="stage-", dir=target.parent) as folder, _disk_errors(target):
        stage = Path(folder)
        config = _stage(found, version, exported, labels, stage)
        archiver = ModelArchiverConfig(
            model_name=found.spec.name,
            version=version,
            handler=str(found.handler),
            serialized_file=str(exported.folder / exported.serialized_file),
            model_file=str(exported.folder / exported.model_file) if exported.model_file else None,
            extra_files=str(stage / "extra"),
            config_file=str(config),
            export_path=str(stage),
            archive_format="zip-store",  # known to the archiver, forgotten in its annotation
        )
        with _private_tempdir(stage / "tmp"):
            generate_model_archive(archiver)
        _normalise(stage / f"{found.spec.name}.mar", target)


def model_config(found: SpecFile, version: str, labels: Entries | None) -> dict[str, Any]:
    """The content of TorchServe's model-config.yaml, with our own section for the handler."""
    serving, wanted = found.spec.serving, found.spec.versions[version]
    return {
        "minWorkers": serving.workers,
        "maxWorkers": serving.workers,
        "batchSize": serving.batch_size,
        "maxBatchDelay": serving.max_batch_delay_ms,
        "responseTimeout": serving.response_timeout_s,
        "handlerkit": {
            "runtime": wanted.runtime,
            "running": {
                "method": wanted.called,
                **wanted.model_dump(include={"precision", "channels_last", "compile", "threads", "device"}, exclude_none=True),
            },
            "limits": found.spec.limits.model_dump(exclude_none=True),
            "options": found.spec.options,
            "labels": labels or [],
            "sample": {"request": f"sample/{Path(found.sample.request).name}", "label": found.sample.label},
        },
    }


def _stage(found: SpecFile, version: str, exported: Exported, labels: Entries | None, stage: Path) -> Path:
    extra = stage / "extra"
    not_carried = shutil.ignore_patterns(*LEFT_BY_TOOLS, paths.HANDLERKIT_TESTING.name)
    shutil.copytree(paths.HANDLERKIT, extra / "handlerkit", ignore=not_carried)
    (extra / "sample").mkdir()
    shutil.copy(found.beside(found.sample.request), extra / "sample")
    for name in exported.extra_files:
        shutil.copy(exported.folder / name, extra)
    _add_own_files(found, exported, extra)
    text = io.StringIO()
    YAML(typ="safe", pure=True).dump(model_config(found, version, labels), text)
    (stage / MODEL_CONFIG).write_text(text.getvalue(), encoding="utf-8")
    return stage / MODEL_CONFIG


def _add_own_files(found: SpecFile, exported: Exported, extra: Path) -> None:
    """Copy the spec's own files; an archive is flat, so that none may be named like another part of it."""
    parts = {path.name for path in extra.iterdir()} | {exported.serialized_file, exported.model_file, found.handler.name}
    for name, path in own_files(found).items():
        if name in parts | {MODEL_CONFIG, MANIFEST.partition("/")[0]}:
            raise UsageError(f"{found.folder / FILE_NAME}: 'files' has {name}, as the archive names a part of its own; rename it")
        if path.suffix == ".py":
            _check_name(path)
        shutil.copy(path, extra)


def _normalise(source: Path, target: Path) -> None:
    """Write the archive anew with sorted names, without times, and put it in place in one step."""
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with zipfile.ZipFile(source) as old, zipfile.ZipFile(partial, "w") as new:
            for name in sorted(old.namelist()):
                info = zipfile.ZipInfo(name, NO_TIME)
                info.external_attr = 0o644 << 16
                info.compress_type = zipfile.ZIP_STORED if name.endswith(STORED) else zipfile.ZIP_DEFLATED
                if name == MANIFEST:
                    new.writestr(info, _without_time(old.read(name)))
                else:
                    info.file_size = old.getinfo(name).file_size
                    with old.open(name) as reader, new.open(info, "w") as writer:
                        shutil.copyfileobj(reader, writer, CHUNK)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _without_time(manifest: bytes) -> bytes:
    content = json.loads(manifest)
    content["createdOn"] = "01/01/1980 00:00:00"
    return json.dumps(content, indent=2).encode()


def _check_name(file: Path) -> None:
    """The archive's folder comes first on a worker's path: a handler named like a library would hide it."""
    name = file.stem
    if not name.isidentifier():
        better = name.replace("-", "_")
        raise UsageError(f"{file}: a Python file of an archive must be named like a module, for example {better}.py")
    found = importlib.util.find_spec(name)
    hides = name in sys.stdlib_module_names or (found is not None and found.origin != str(file.resolve()))
    if hides or name in ("handlerkit", "network", "sample"):
        raise UsageError(f"{file}: the name '{name}' hides the module of that name from the worker; rename the file")


@contextmanager
def _private_tempdir(folder: Path) -> Iterator[None]:
    """The archiver deletes ``<temporary folder>/<model name>`` before it starts: give it one of its own."""
    folder.mkdir()
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


@contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = ": free some space and build again" if error.errno == errno.ENOSPC else ""
        raise MarinaError(f"{target} could not be written: {error.strerror}{hint}") from error
