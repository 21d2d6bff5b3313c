"""Build an archive from a spec: network, export, archive, preflight, parity, index; or see that nothing changed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from marina import paths
from marina.console import err, step
from marina.digests import file_digest
from marina.errors import MarinaError
from marina.paths import Store
from marina.store.index import Entry, read_index, record
from marina.store.inputs import inputs_digest, is_stale, packages
from marina.store.spec import Sample, SpecFile

if TYPE_CHECKING:
    from marina.store.sources import WeightsChoice  # at run time it would import torch, which takes seconds


def is_current(found: SpecFile, version: str, store: Store) -> bool:
    """Whether the version's archive is there and was built from what is there now. Does not import torch."""
    entry = read_index(store).models.get(found.spec.name, {}).get(version)
    if entry is None or is_stale(found, version, entry):
        return False
    archive = store.archives / entry.archive
    return archive.is_file() and file_digest(archive) == entry.sha256


def adopted_entry(model: str, version: str, store: Store) -> Entry | None:
    """The entry of an archive that was built elsewhere: it has no spec, and is never built here."""
    entry = read_index(store).models.get(model, {}).get(version)
    return entry if entry and entry.is_adopted else None


def ensure(found: SpecFile, version: str, store: Store) -> Entry:
    """The version's entry, built anew only where something changed.

    Raises:
        MarinaError: its weights came from the command line, so that only the person can build it again.
    """
    from marina.store.sources import WeightsChoice

    entry = read_index(store).models.get(found.spec.name, {}).get(version)
    if entry and is_current(found, version, store):
        return entry
    if entry and entry.weights.chosen:
        option = "--random-weights" if entry.weights.source == "random" else f"--weights {entry.weights.name}"
        raise MarinaError(
            f"{found.spec.name} {version} has changed since it was built: "
            f"run scripts/build_mar.py {entry.spec} --version {version} {option}"
        )
    return build(found, version, store, WeightsChoice())


def build(found: SpecFile, version: str, store: Store, choice: WeightsChoice) -> Entry:
    """Build one version and record it; the index and the store change only when everything went well.

    Raises:
        UsageError: the spec, or what it names, is wrong.
        MarinaError: a step failed; the message says which and why.
    """
    from marina.store import archive, exporters, parity, placeless, preflight, sources  # these import torch

    name = f"{found.spec.name} {version}"
    wanted = found.version(version)
    store.archives.mkdir(parents=True, exist_ok=True)
    target = store.archives / archive.archive_name(found.spec.name, version)
    step(f"{name}: network")
    with _training_bar(name) as progress:
        network = sources.load_network(found, version, store, choice, progress)
    with tempfile.TemporaryDirectory() as exports, tempfile.TemporaryDirectory(prefix=".build-", dir=store.folder) as folder:
        staged = sources.with_sample(found, network, Path(exports))
        step(f"{name}: export to {wanted.runtime}")
        exported = exporters.export_network(network, wanted, found.spec.tensors, Path(exports))
        placeless.forget_place(exported)
        made = Path(folder) / target.name
        archive.write_archive(staged, version, exported, network.labels, made)
        step(f"{name}: preflight, as a worker would")
        random = network.weights.source == "random"
        held_out = None if random else sources.held_out(found)
        tried = preflight.try_archive(made, exporters.generated_inputs(found.spec.tensors), held_out, any_answer=random)
        largest = wanted.tolerance or found.spec.tolerance
        compared = parity.compare(network, tried.pairs, largest)
        entry = Entry(
            archive=target.name,
            sha256=file_digest(made),
            size_bytes=made.stat().st_size,
            content_sha256=tried.content_sha256,
            inputs_sha256=inputs_digest(found, version),
            spec=_shown(found),
            runtime=wanted.runtime,
            precision=wanted.precision,
            weights=network.weights,
            parity=compared,
            accuracy=tried.accuracy,
            sample=found.spec.sample or Sample(request=sources.SAMPLE),
            serving=found.spec.serving,
            built_with=packages(),
        )
        made.replace(target)
    record(store, found.spec.name, version, entry)
    return entry


def _shown(found: SpecFile) -> str:
    """The spec as a person would name it again: by its name where it is ours, else by its path."""
    return found.spec.name if found.folder == (paths.SPECS / found.spec.name).resolve() else str(found.folder)


@contextmanager
def _training_bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """A bar that appears with the first progress that is told."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=err)
    task = bar.add_task(f"{name}: training")

    def progress(done: int, total: int) -> None:
        bar.start()
        bar.update(task, completed=done, total=total)

    try:
        yield progress
    finally:
        bar.stop()
