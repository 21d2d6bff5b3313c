"""What there is: every version that a spec, the index or a server knows, and how the three agree. Does not import torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from marina import paths
from marina.errors import UsageError
from marina.paths import Store
from marina.serving.management import Running
from marina.store.index import Entry, Index
from marina.store.inputs import is_stale
from marina.store.spec import FILE_NAME, SpecFile, find_spec

CURRENT = "current"
STATES = {
    CURRENT: "built from what is here now",
    "stale": "its spec, its handler, ours or torch has changed since it was built",
    "not built": "in a spec alone",
    "no spec": "pulled, or its spec is gone or has lost it: it can be served, not built again",
    "adopted": "built elsewhere, and adopted by check_store.py --adopt",
    "no archive": "in the index alone: build or pull it again",
    "damaged": "its archive has another size than was built",
    "wrong spec": "its spec, or a file that it names, has a mistake",
    "not in store": "served, from an archive that the index does not have",
}


@dataclass(frozen=True)
class Row:
    """One version.

    Attributes:
        state: one of STATES.
        entry: what the index has of it.
        since: when its archive came here.
        served: what runs of it, by the name that it is served under.
    """

    model: str
    version: str
    state: str
    entry: Entry | None = None
    since: datetime | None = None
    served: dict[str, Running] = field(default_factory=dict)


@dataclass(frozen=True)
class Specs:
    """Those that can be read, by model; and what is wrong with the others."""

    found: dict[str, SpecFile]
    wrong: dict[str, str]


def read_specs(index: Index, more: list[str]) -> Specs:
    """The specs in ``model_store/specs``, those elsewhere that the index names, and more by their paths."""
    named = [str(path) for path in sorted(paths.SPECS.glob(f"*/{FILE_NAME}"))]
    elsewhere = {entry.spec for versions in index.models.values() for entry in versions.values() if entry.spec}
    named += sorted(path for path in elsewhere if "/" in path and Path(path, FILE_NAME).is_file())
    specs = Specs({}, {})
    for one in [*named, *more]:
        try:
            found = find_spec(one)
            specs.found[found.spec.name] = found
        except UsageError as error:
            specs.wrong[Path(one.removesuffix(f"/{FILE_NAME}")).name] = str(error)
    return specs


def inventory(store: Store, index: Index, specs: Specs, running: list[Running]) -> list[Row]:
    """A row for each version, by model.

    Args:
        store: whose archives are looked for; they are not read: check_store.py compares digests.
        index: of the store.
        specs: what there is to build; a mistake that shows only here is added to its ``wrong``.
        running: what a server has registered, if there is one.
    """
    served: dict[str, dict[str, Running]] = {}
    for one in running:
        served.setdefault(one.archive, {})[one.model] = one
    rows = list(_of_store(store, index, specs, served))
    known = {entry.archive for versions in index.models.values() for entry in versions.values()}
    rows += [Row(one.model, one.version, "not in store", served={one.model: one}) for one in running if one.archive not in known]
    return sorted(rows, key=lambda row: row.model)


def _of_store(store: Store, index: Index, specs: Specs, served: dict[str, dict[str, Running]]) -> Iterator[Row]:
    for model in sorted({*index.models, *specs.found, *specs.wrong}):
        entries = index.models.get(model, {})
        in_spec = list(specs.found[model].spec.versions) if model in specs.found else []
        for version in [*in_spec, *(one for one in entries if one not in in_spec)]:
            yield _row(store, (model, version), entries.get(version), specs, served)
        if model in specs.wrong and not entries and not in_spec:
            yield Row(model, "", "wrong spec")


def _row(store: Store, name: tuple[str, str], entry: Entry | None, specs: Specs, served: dict[str, dict[str, Running]]) -> Row:
    model, version = name
    if entry is None:
        return Row(model, version, "not built")
    archive = store.archives / entry.archive
    found = archive.stat() if archive.is_file() else None
    if found is None:
        state = "no archive"
    elif found.st_size != entry.size_bytes:
        state = "damaged"
    else:
        state = _state(model, version, entry, specs)
    since = datetime.fromtimestamp(found.st_mtime).astimezone() if found else None
    return Row(model, version, state, entry, since, served.get(entry.archive, {}))


def _state(model: str, version: str, entry: Entry, specs: Specs) -> str:
    if entry.is_adopted:
        return "adopted"
    if model in specs.wrong:
        return "wrong spec"
    found = specs.found.get(model)
    if found is None or version not in found.spec.versions:
        return "no spec"
    try:
        return "stale" if is_stale(found, version, entry) else CURRENT
    except UsageError as error:
        specs.wrong.setdefault(model, str(error))
        return "wrong spec"
