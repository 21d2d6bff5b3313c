"""What an archive is built from, and whether that has changed since; nothing here imports torch."""

from __future__ import annotations

import json
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path

from marina import paths
from marina.digests import digest_of, file_digest, source_files
from marina.store.external_data import external_files
from marina.store.files import own_files
from marina.store.index import Entry
from marina.store.spec import FILE_NAME, SpecFile

PACKAGES = ("torch", "torchvision", "torchserve", "torch-model-archiver")
OF_RUNTIMES = {"onnx": ("onnx", "onnxruntime"), "openvino": ("openvino",)}
OF_PRECISIONS = {"int8": ("nncf", "torchao")}
EVIDENCE = ".tuning.json"  # how fast versions are, which scripts/tune_model.py writes beside their spec
READ_BY_PEOPLE = ("readme", "licence", "license", "changelog")  # beside a spec, unless it names them itself


def inputs_digest(found: SpecFile, version: str) -> str:
    """SHA-256 over everything an archive is built from, weights aside.

    Of ``model.yaml`` counts what it says of this version, not how; of the folder every file but those that people or
    their tools leave beside; of all files their names and contents, not their times.

    Raises:
        UsageError: a file that the spec names is not there.
    """
    said = found.spec.model_dump(mode="json", exclude={"versions"})
    said["versions"] = {version: found.version(version).model_dump(mode="json")}
    beside = {str(path.relative_to(found.folder)): path for path in source_files(found.folder) if _counts(path, found)}
    named = own_files(found) | _elsewhere(found, version) | {"handler": found.handler}
    files = [f"{name} {file_digest(path)}" for name, path in sorted(beside.items()) + sorted(named.items())]
    return digest_of([json.dumps(said, sort_keys=True), *files, kit_digest(), *built_with(found, version).values()])


def _elsewhere(found: SpecFile, version: str) -> dict[str, Path]:
    """The sample, and the files of the version's source that do not lie in the spec's folder, by their names."""
    source = found.spec.versions[version].source
    files = [found.beside(name) for name in source.files]
    if source.onnx and not _is_inside(found.beside(source.onnx), found.folder):
        files += external_files(found.beside(source.onnx))
    sample = [found.beside(found.spec.sample.request)] if found.spec.sample else []
    return {path.name: path for path in [*(one for one in files if not _is_inside(one, found.folder)), *sample]}


def _is_inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def is_stale(found: SpecFile, version: str, entry: Entry) -> bool:
    """Whether what the entry's archive was built from is no longer what is there."""
    return entry.inputs_sha256 != inputs_digest(found, version)


def built_with(found: SpecFile, version: str) -> dict[str, str]:
    """Versions of the packages that decide what an archive of this version does."""
    wanted = found.version(version)
    names = (*PACKAGES, *OF_RUNTIMES.get(wanted.runtime, ()), *OF_PRECISIONS.get(wanted.precision, ()))
    return {name: _installed(name) for name in names}


@cache
def kit_digest() -> str:
    """SHA-256 over the code of ours that every archive is built from; read once in a process."""
    handlerkit = [path for path in source_files(paths.HANDLERKIT) if not path.is_relative_to(paths.HANDLERKIT_TESTING)]
    files = [*handlerkit, *source_files(Path(__file__).parent)]
    return digest_of(f"{path.name} {file_digest(path)}" for path in files)


def _counts(path: Path, found: SpecFile) -> bool:
    says_nothing = path.stem.lower().startswith(READ_BY_PEOPLE) or path.name.endswith(EVIDENCE)
    return path != found.folder / FILE_NAME and not says_nothing


@cache
def _installed(name: str) -> str:
    try:
        return installed(name)
    except PackageNotFoundError:  # the runtime itself says so when it is needed
        return "none"
