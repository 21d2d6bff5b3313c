"""Which versions of a model a development server serves."""

from __future__ import annotations

from marina.console import step
from marina.errors import UsageError
from marina.paths import Store
from marina.roads.chosen import default_version, versions_without_spec
from marina.roads.flask_server import Served
from marina.roads.live import Live
from marina.store.build import ensure
from marina.store.index import read_index
from marina.store.inputs import is_stale
from marina.store.spec import SpecFile, find_spec, spec_path


def find_versions(name: str, store: Store, default: str | None, as_built: bool) -> tuple[str, Served]:
    """A model's name, and its versions that are built; where none is, the one that is wanted is built first.

    Args:
        name: of a spec, or its path, or of a model that only the store knows.
        store: where the archives are.
        default: the version that answers where a request names none; None takes the spec's first that is built.
        as_built: whether archives are served as they are, whatever the spec and the handler say now.

    Raises:
        UsageError: there is no such model or version.
        MarinaError: it cannot be built.
    """
    if not spec_path(name).is_file():
        return name, _of_store(name, store, default)
    found = find_spec(name)
    model = found.spec.name
    wanted = default or default_version(found, store)
    found.version(wanted)
    if read_index(store).entry(model, wanted) is None:
        ensure(found, wanted, store)
    built = [one for one in found.spec.versions if read_index(store).entry(model, one)]
    _tell(found, built, store)
    spec = None if as_built else str(found.folder)
    return model, Served({one: Live(store, model, one, spec) for one in built}, wanted)


def _of_store(name: str, store: Store, default: str | None) -> Served:
    versions = versions_without_spec(name, store)
    if default and default not in versions:
        raise UsageError(f"{name} has no version {default} in {store.folder}; it has: {', '.join(versions)}")
    return Served({one: Live(store, name, one, None) for one in versions}, default or next(iter(versions)))


def _tell(found: SpecFile, built: list[str], store: Store) -> None:
    """Say what is not served as its spec says."""
    for version in found.spec.versions:
        entry = read_index(store).entry(found.spec.name, version)
        if version not in built:
            step(f"{found.spec.name} {version} is not built: scripts/build_mar.py {found.folder} --version {version}")
        elif entry and is_stale(found, version, entry):
            step(f"{found.spec.name} {version}: changed since it was built; its network is served as it was built")
