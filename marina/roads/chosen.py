"""The archive of a model and a version, named as people name them; built where it is not. Does not import torch."""

from __future__ import annotations

from pathlib import Path

from marina.errors import UsageError
from marina.paths import Store
from marina.reading import nearest_of
from marina.store.build import ensure
from marina.store.index import Entry, read_index, verified_archive
from marina.store.spec import SpecFile, find_spec, spec_path


def default_version(found: SpecFile, store: Store) -> str:
    """The first of a spec's versions that is built; where none is, the first."""
    built = (one for one in found.spec.versions if read_index(store).entry(found.spec.name, one))
    return next(built, next(iter(found.spec.versions)))


def versions_without_spec(name: str, store: Store) -> dict[str, Entry]:
    """The versions of a model that only the store knows.

    Raises:
        UsageError: it does not.
    """
    models = read_index(store).models
    if name not in models:
        hint = nearest_of(name, sorted(models)) if models else "the store is empty"
        raise UsageError(f"no spec and no model of {store.folder} is named '{name}': {hint}")
    return models[name]


def choose(name: str, version: str | None, store: Store) -> tuple[str, str, Entry, Path]:
    """Name, version, entry and archive of what a person names; built if it is a spec's and is not built.

    Raises:
        UsageError: there is no such model or version.
        MarinaError: it cannot be built, or is not what was built.
    """
    if spec_path(name).is_file():
        found = find_spec(name)
        model, wanted = found.spec.name, version or default_version(found, store)
        found.version(wanted)
        entry = read_index(store).entry(model, wanted) or ensure(found, wanted, store)
    else:
        versions = versions_without_spec(name, store)
        model, wanted = name, version or next(iter(versions))
        if wanted not in versions:
            raise UsageError(f"{name} has no version {wanted} in {store.folder}; it has: {', '.join(versions)}")
        entry = versions[wanted]
    return model, wanted, entry, verified_archive(store, entry)
