"""What an archive is built from, and whether that has changed since; nothing here imports torch."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version as installed
from pathlib import Path

from marina import paths
from marina.digests import digest_of, file_digest, source_files
from marina.store.external_data import external_files
from marina.store.files import own_files
from marina.store.index import Entry
from marina.store.spec import SpecFile

PACKAGES = ("torch", "torchvision", "torchserve", "torch-model-archiver")


def inputs_digest(found: SpecFile, version: str) -> str:
    """SHA-256 over everything an archive is built from, weights aside.

    Raises:
        UsageError: a file that the spec names is not there.
    """
    own = [*source_files(found.folder), *_elsewhere(found, version), *own_files(found).values(), found.handler]
    return digest_of([version, *(f"{path.name} {file_digest(path)}" for path in own), kit_digest(), *packages().values()])


def _elsewhere(found: SpecFile, version: str) -> list[Path]:
    """The files of the version's source that do not lie in the spec's folder."""
    source = found.spec.versions[version].source
    files = [found.beside(name) for name in source.files]
    if source.onnx and not _is_inside(found.beside(source.onnx), found.folder):
        files += external_files(found.beside(source.onnx))
    return [path for path in files if not _is_inside(path, found.folder)]


def _is_inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def is_stale(found: SpecFile, version: str, entry: Entry) -> bool:
    """Whether what the entry's archive was built from is no longer what is there."""
    return entry.inputs_sha256 != inputs_digest(found, version)


@cache
def kit_digest() -> str:
    """SHA-256 over the code of ours that every archive is built from; read once in a process."""
    handlerkit = [path for path in source_files(paths.HANDLERKIT) if not path.is_relative_to(paths.HANDLERKIT_TESTING)]
    files = [*handlerkit, *source_files(Path(__file__).parent)]
    return digest_of(f"{path.name} {file_digest(path)}" for path in files)


@cache
def packages() -> dict[str, str]:
    """Versions of the packages that decide what an archive does."""
    return {name: installed(name) for name in PACKAGES}
