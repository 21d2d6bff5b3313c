"""What was built: one entry for each archive, written by the build and believed by everything that serves."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from marina.digests import file_digest
from marina.errors import MarinaError
from marina.paths import Store
from marina.store.spec import Sample, Serving


class Record(BaseModel):
    """A part of the index; keys that a later Marina adds are kept out of our way."""

    model_config = ConfigDict(frozen=True)


class Weights(Record):
    """Which weights an archive carries; ``pretrained`` ones are those that a spec's training file took from elsewhere.

    Of an ``adopted`` archive, which was built elsewhere, name and digest are those of the file that was adopted.

    Attributes:
        chosen: on the command line, so that the spec alone does not make them again.
    """

    source: Literal["trained", "pretrained", "torchvision", "file", "random", "adopted"]
    name: str
    sha256: str
    chosen: bool = False


class Parity(Record):
    """How far the exported network is from the eager one: largest absolute difference of outputs."""

    largest_difference: float
    tolerance: float
    compared_rows: int


class Accuracy(Record):
    """How well the archive itself, asked as a worker is, answers requests that training never saw.

    ``metric`` is ``top1``, the share whose best label is right, unless the spec's training file has a measure of its own.
    """

    metric: str = "top1"
    value: float
    requests: int

    def __str__(self) -> str:
        """As people read it."""
        return f"{self.metric} {self.value:.3f} on {self.requests}"


class Entry(Record):
    """One built archive, or an adopted one: of that, what only its build could know is None."""

    archive: str
    sha256: str
    size_bytes: int
    content_sha256: str | None
    inputs_sha256: str | None
    spec: str | None
    runtime: str
    precision: str = "fp32"
    weights: Weights
    parity: Parity | None
    accuracy: Accuracy | None
    sample: Sample
    serving: Serving
    built_with: dict[str, str]

    @property
    def is_adopted(self) -> bool:
        """Whether it was built elsewhere."""
        return self.weights.source == "adopted"

    @property
    def again(self) -> str:
        """How to make its archive anew."""
        if self.is_adopted:
            return f"adopt {self.weights.name} again with scripts/check_store.py --adopt FILE --replace"
        return f"build it again with scripts/build_mar.py {self.spec} --force"


class Index(Record):
    """The entries by model and version."""

    models: dict[str, dict[str, Entry]] = {}


def read_index(store: Store) -> Index:
    """The index of a store; empty where nothing was built.

    Raises:
        MarinaError: it cannot be read.
    """
    if not store.index.exists():
        return Index()
    try:
        return Index.model_validate_json(store.index.read_bytes())
    except (OSError, ValidationError) as error:
        reason = type(error).__name__
        raise MarinaError(f"{store.index}: cannot be read ({reason}); build again with scripts/build_mar.py") from error


def record(store: Store, model: str, version: str, entry: Entry) -> None:
    """Add or replace an entry, whole or not at all, also with two builds at once."""
    with FileLock(store.folder / ".index.lock"):
        models = {name: dict(versions) for name, versions in read_index(store).models.items()}
        models.setdefault(model, {})[version] = entry
        partial = store.index.with_suffix(".partial")
        partial.write_text(Index(models=models).model_dump_json(indent=2) + "\n", encoding="utf-8")
        partial.replace(store.index)


def find_entry(store: Store, model: str, version: str) -> Entry:
    """The entry of a version.

    Raises:
        MarinaError: it was not built.
    """
    entry = read_index(store).models.get(model, {}).get(version)
    if entry is None:
        how = f"scripts/build_mar.py {model} --version {version}"
        raise MarinaError(
            f"{model} {version} is not in {store.index}: build it with {how}, or pull it with scripts/pull_store.py"
        )
    return entry


def verified_archive(store: Store, entry: Entry) -> Path:
    """The entry's archive, after its digest was compared.

    Raises:
        MarinaError: it is missing, or is not the file that was built.
    """
    path = store.archives / entry.archive
    if not path.is_file():
        raise MarinaError(f"{path} is missing: {entry.again}")
    found = file_digest(path)
    if found != entry.sha256:
        raise MarinaError(
            f"{path} is not the archive that was built (SHA-256 {found[:12]}…, built {entry.sha256[:12]}…): "
            f"it will not be served; {entry.again}"
        )
    return path
