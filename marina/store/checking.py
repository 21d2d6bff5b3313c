"""Compare a store with its index, and its index with the specs: what is damaged, missing, stale or of no use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from marina.digests import file_digest
from marina.errors import MarinaError, UsageError
from marina.paths import Store
from marina.store.contents import look_into
from marina.store.index import Entry, read_index
from marina.store.inputs import is_stale
from marina.store.spec import SpecFile, find_spec, spec_path
from marina.store.spec_files import check_files

Told = Callable[[int], None]


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        kind: one word for it.
        subject: a model and its version, a file, or a spec.
        found: what was found.
        remedy: what to do.
    """

    kind: str
    subject: str
    found: str
    remedy: str


@dataclass(frozen=True)
class Built:
    """One entry of the index."""

    model: str
    version: str
    entry: Entry

    def __str__(self) -> str:
        return f"{self.model} {self.version}"

    @property
    def again(self) -> str:
        """How to replace its archive by a good one."""
        if self.entry.is_adopted:
            return self.entry.again
        weights = self.entry.weights
        given = " --random-weights" if weights.source == "random" else f" --weights {weights.name}"
        own = given if weights.chosen else ""
        return f"scripts/build_mar.py {self.entry.spec} --version {self.version}{own} --force"


def index_of(store: Store) -> list[Built]:
    """All entries of a store's index, in order.

    Raises:
        MarinaError: it cannot be read.
    """
    models = read_index(store).models
    return [Built(model, version, entry) for model in sorted(models) for version, entry in sorted(models[model].items())]


def check_archive(store: Store, built: Built, told: Told | None) -> Iterator[Finding]:
    """Compare an archive with its entry: there, of the same size and digest, and what the index says it is.

    Args:
        store: where it lies.
        built: its entry.
        told: told the number of bytes whenever some have been read; None compares no digest, which takes milliseconds.
    """
    entry, subject = built.entry, str(built)
    path = store.archives / entry.archive
    if Path(entry.archive).name != entry.archive:
        yield Finding("unsafe", subject, f"the index names {entry.archive}, which lies outside of archives/", built.again)
        return
    if not path.is_file():
        yield Finding("missing", subject, f"{entry.archive} is not in archives/", built.again)
        return
    size = path.stat().st_size
    if size != entry.size_bytes:
        kind = "truncated" if size < entry.size_bytes else "tampered"
        yield Finding(kind, subject, f"{entry.archive} has {size:,} bytes, built {entry.size_bytes:,}", built.again)
    elif told and (digest := file_digest(path, told)) != entry.sha256:
        found = f"{entry.archive} has the SHA-256 {digest[:12]}…, built {entry.sha256[:12]}…"
        yield Finding("tampered", subject, found, built.again)
    else:
        yield from _check_contents(path, built)

    for folder, name, sha256 in entry.beside:
        file = store.folder / folder / name
        if not file.is_file():
            yield Finding("missing", subject, f"{folder}/{name} is gone", built.again)
        elif file_digest(file) != sha256:
            yield Finding("tampered", subject, f"{folder}/{name} is not the file that was written", built.again)


def _check_contents(path: Path, built: Built) -> Iterator[Finding]:
    try:
        look_into(path, built.model, built.version)
    except MarinaError as error:
        yield Finding("unsafe", str(built), str(error), built.again)


def check_origin(built: Built, found: SpecFile | UsageError) -> Iterator[Finding]:
    """Compare an entry with its spec: still there, still of this name and version, still what it was built from."""
    subject, entry = str(built), built.entry
    if entry.spec and "/" not in entry.spec and not spec_path(entry.spec).is_file():
        return  # it was pulled, and is taken as it is
    if isinstance(found, UsageError):
        yield Finding("no spec", subject, str(found), f"build from where its spec lies now, or delete archives/{entry.archive}")
    elif (found.spec.name, built.version in found.spec.versions) != (built.model, True):
        versions = ", ".join(found.spec.versions)
        said = f"{entry.spec} is now the spec of {found.spec.name}, versions {versions}"
        yield Finding("no spec", subject, said, f"delete archives/{entry.archive}, or give the spec its name and version back")
    else:
        try:
            stale = is_stale(found, built.version, entry)
        except UsageError:
            return  # a file is gone: the spec's own finding says so
        if stale:
            yield Finding("stale", subject, "what it was built from has changed", built.again.removesuffix(" --force"))


def check_spec(found: SpecFile) -> Iterator[Finding]:
    """See that all files that a spec names are there and can be read."""
    for complaint in check_files(found):
        yield Finding("spec", found.spec.name, complaint, "correct it")


def orphans(store: Store, index: list[Built], told: Told | None) -> Iterator[Finding]:
    """Files of a store that the index does not know: archives, weights that nothing uses, what broken builds left."""
    known = {one.entry.archive for one in index}
    for path in _files(store.archives):
        if path.name not in known:
            remedy = "delete it, or index it: scripts/check_store.py --adopt FILE"
            yield Finding("orphaned", f"archives/{path.name}", "the index does not know it", remedy)
    used = {(folder, name) for one in index for folder, name, _ in one.entry.beside}
    for path in (*_files(store.sboms), *_files(store.samples)):
        if (path.parent.name, path.name) not in used:
            yield Finding("orphaned", f"{path.parent.name}/{path.name}", "no archive has it beside it", "delete it")
    for path in _leftovers(store):
        remedy = "delete it, unless a build is running"
        yield Finding("leftover", str(path.relative_to(store.folder)), "a build that was interrupted left it", remedy)
    weights = {text for one in index for text in (one.entry.weights.name, one.entry.weights.sha256)}
    for path in _files(store.weights):
        if path.name not in weights and told and (path.is_dir() or file_digest(path, told) not in weights):
            yield Finding("unused", f"weights/{path.name}", "no archive was built with it", "delete it, or build its model")


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix != ".partial")


def _leftovers(store: Store) -> list[Path]:
    folders = (store.folder, store.archives, store.sboms, store.weights)
    partial = [path for folder in folders for path in folder.glob("*.partial")]
    return sorted([*partial, *store.folder.glob(".build-*")])


def spec_or_error(name: str) -> SpecFile | UsageError:
    """The spec of a name or path, or what is wrong with it."""
    try:
        return find_spec(name)
    except UsageError as error:
        return error
