"""What was built: one entry for each archive, written by the build and believed by everything that serves."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from marina.digests import file_digest
from marina.errors import MarinaError
from marina.paths import Store
from marina.store.spec import Sample, Serving
from marina.store.workshop import alone

PATIENCE_S = 120.0  # for an index that another process is writing, which takes milliseconds


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
    licence: str | None = None
    origin: str | None = None


class Parity(Record):
    """How far the exported network is from the eager one: largest absolute difference of outputs.

    In int8 and bf16 there is no tolerance, unless the version has one of its own: see ``Int8`` and ``Bf16``.
    """

    largest_difference: float
    tolerance: float | None
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


class Load(Record):
    """What it took to load an archive as a worker does, in preflight: seconds, and bytes of memory, all of it or its own."""

    seconds: float
    memory_bytes: int
    own_memory_bytes: int


class Origin(Record):
    """From what, by what and where an archive was built; ``commit`` is None where the spec lies in no git repository.

    ``changed`` says whether spec or handler differ from the commit; ``kit_sha256`` is of handlerkit and the store's code.
    """

    commit: str | None
    changed: bool | None
    marina: str
    kit_sha256: str
    python: str
    platform: str
    seconds: float


class Bill(Record):
    """The software bill of materials of an archive, in the store's ``sboms``."""

    file: str
    sha256: str


class Int8(Record):
    """What 8 bits cost.

    Attributes:
        calibrated_on: number of requests.
        agreement: share of ``compared`` inputs whose best class is the one of the eager network in fp32; None where the
            network's output has no classes.
        compared_on: held-out requests, calibration requests that were held back, or generated inputs.
        accuracy_in_fp32: of an archive in fp32 on the same requests.
    """

    calibrated_on: int
    agreement: float | None
    compared: int
    compared_on: Literal["held-out requests", "requests held back", "generated inputs"]
    accuracy_in_fp32: Accuracy | None


class Bf16(Record):
    """What rounding to bfloat16 costs; as of ``Int8``."""

    agreement: float | None
    compared: int
    compared_on: Literal["held-out requests", "calibration requests", "generated inputs"]


class Beside(NamedTuple):
    """A file of the store that goes with an archive."""

    folder: str
    name: str
    sha256: str


class Entry(Record):
    """One built archive, or an adopted one; what is None was not recorded, or only a build could know it."""

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
    int8: Int8 | None = None
    bf16: Bf16 | None = None
    warnings: list[str] = []
    sample: Sample
    serving: Serving
    built_with: dict[str, str]
    network_bytes: int | None = None
    load: Load | None = None
    origin: Origin | None = None
    bill: Bill | None = None
    sample_sha256: str | None = None  # of an adopted archive's sample, which lies in the store's samples

    @property
    def is_adopted(self) -> bool:
        """Whether it was built elsewhere."""
        return self.weights.source == "adopted"

    @property
    def agreement(self) -> float | None:
        """Share of inputs whose best class is the one in fp32; None in fp32, or where there are no classes."""
        reduced = self.int8 or self.bf16
        return reduced.agreement if reduced else None

    @property
    def beside(self) -> tuple[Beside, ...]:
        """What lies beside the archive: its bill of materials, and the sample of an adopted one."""
        bill = [Beside("sboms", self.bill.file, self.bill.sha256)] if self.bill else []
        sample = [Beside("samples", self.sample.request, self.sample_sha256)] if self.sample_sha256 else []
        return (*bill, *sample)

    @property
    def again(self) -> str:
        """How to make its archive anew."""
        if self.is_adopted:
            return f"adopt {self.weights.name} again with scripts/check_store.py --adopt FILE --replace"
        return f"build it again with scripts/build_mar.py {self.spec} --force"


class Placing(Record):
    """An entry whose archive is being put in place: it holds as soon as the archive is there."""

    model: str
    version: str
    entry: Entry


class Index(Record):
    """The entries by model and version."""

    models: dict[str, dict[str, Entry]] = {}
    placing: Placing | None = None

    def entry(self, model: str, version: str) -> Entry | None:
        """The entry of a version; None where it has none."""
        return self.models.get(model, {}).get(version)


def read_index(store: Store) -> Index:
    """The index of a store; empty where nothing was built.

    Raises:
        MarinaError: it cannot be read.
    """
    try:
        found = store.index.stat()
        index = _parsed(store.index, found.st_ino, found.st_mtime_ns, found.st_size)
    except FileNotFoundError:
        return Index()
    except (OSError, ValidationError) as error:
        reason = type(error).__name__
        raise MarinaError(f"{store.index}: cannot be read ({reason}); build again with scripts/build_mar.py") from error
    return _settled(store, index)


def record(store: Store, model: str, version: str, entry: Entry, made: Path | None = None) -> None:
    """Add or replace an entry, and put its archive in place: both or neither, also with two builds at once.

    A process that is killed between the two steps leaves a note in the index, by which ``read_index`` knows which holds.

    Args:
        store: whose index it is.
        model: of the entry.
        version: of the entry.
        entry: what is recorded.
        made: the archive, on the store's file system; None where it lies in place already.

    Raises:
        MarinaError: another process writes the index, and does not end.
    """
    with alone(store, "index", str(store.index), PATIENCE_S):
        models = {name: dict(versions) for name, versions in read_index(store).models.items()}
        if made:
            _write(store, Index(models=models, placing=Placing(model=model, version=version, entry=entry)))
            made.replace(store.archives / entry.archive)
        models.setdefault(model, {})[version] = entry
        _write(store, Index(models=models))


def _settled(store: Store, index: Index) -> Index:
    """The index without its note: the new entry holds if its archive is there, else the old one."""
    placing = index.placing
    if placing is None:
        return index
    models = {name: dict(versions) for name, versions in index.models.items()}
    archive = store.archives / placing.entry.archive
    if archive.is_file() and file_digest(archive) == placing.entry.sha256:
        models.setdefault(placing.model, {})[placing.version] = placing.entry
    return Index(models=models)


@lru_cache(maxsize=4)
def _parsed(path: Path, _inode: int, _mtime_ns: int, _size: int) -> Index:
    """The file, read once while it stays the same: commands ask it for each of their versions."""
    return Index.model_validate_json(path.read_bytes())


def _write(store: Store, index: Index) -> None:
    """Replace the file in one step."""
    partial = store.index.with_suffix(".partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(index.model_dump_json(indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(store.index)
    finally:
        partial.unlink(missing_ok=True)


def find_entry(store: Store, model: str, version: str) -> Entry:
    """The entry of a version.

    Raises:
        MarinaError: it was not built.
    """
    entry = read_index(store).entry(model, version)
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
