"""Build an archive from a spec: network, export, archive, preflight, parity, index; or see that nothing changed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from marina import paths
from marina.console import step
from marina.digests import digest_of, file_digest
from marina.errors import MarinaError
from marina.paths import Store
from marina.store.bill import drop_old_bills, write_bill
from marina.store.index import Bf16, Entry, Int8, Parity, read_index, record
from marina.store.inputs import built_with, inputs_digest, is_stale
from marina.store.provenance import origin_of, with_origin
from marina.store.spec import Sample, SpecFile, spec_path
from marina.store.workshop import alone, bench

if TYPE_CHECKING:  # at run time these would import torch, which takes seconds
    from marina.store.exporters import Exported
    from marina.store.preflight import Tried
    from marina.store.sources import Network

PREFLIGHT_TIMEOUT_S = 900.0  # for all that preflight asks, held-out requests included
LITTLE = 1 << 20  # bytes; whoever has no more has none


class Tell(Protocol):
    """Is told what a build does, and how much of it is done."""

    def __call__(self, doing: str, done: int = 0, total: int = 0, /) -> None:
        """A step, such as "preflight"; ``done`` of ``total`` where these are known."""


@dataclass(frozen=True)
class Order:
    """One version to be built, and how.

    Attributes:
        found: its spec.
        version: its name.
        weights: a state dict to use in place of the spec's weights.
        random: whether to use random weights.
        force: whether to build it although nothing changed.
        keep_weights: whether weights that were given when it was last built are as good as the spec's.
        preflight_timeout_s: how long preflight may take, in seconds.
    """

    found: SpecFile
    version: str
    weights: Path | None = None
    random: bool = False
    force: bool = False
    keep_weights: bool = False
    preflight_timeout_s: float = PREFLIGHT_TIMEOUT_S

    @property
    def name(self) -> str:
        """As people name it."""
        return f"{self.found.spec.name} {self.version}"


def is_current(found: SpecFile, version: str, store: Store) -> bool:
    """Whether the version's archive is there and was built from what is there now. Does not import torch."""
    entry = read_index(store).entry(found.spec.name, version)
    if entry is None or is_stale(found, version, entry):
        return False
    archive = store.archives / entry.archive
    return archive.is_file() and file_digest(archive) == entry.sha256


def entry_without_spec(model: str, version: str, store: Store) -> Entry | None:
    """The entry of a version that no spec here is of, as it was adopted or pulled: its archive is taken as it is."""
    entry = read_index(store).entry(model, version)
    return entry if entry and (entry.is_adopted or not spec_path(model).is_file()) else None


def unchanged(order: Order, store: Store) -> Entry | None:
    """The version's entry, if it is what the order asks for already. Does not import torch.

    Raises:
        MarinaError: it was adopted, or its weights came from the command line, so that only the person can build it again.
    """
    entry = read_index(store).entry(order.found.spec.name, order.version)
    if entry is None or order.force:
        return None
    if entry.is_adopted:
        reason = f"was adopted from {entry.weights.name}, which a build would replace"
        raise MarinaError(f"{order.name} {reason}: give --force, or the spec another version")
    if order.keep_weights or _has_weights(order, entry):
        if is_current(order.found, order.version, store):
            return entry
        if order.keep_weights and entry.weights.chosen:
            option = "--random-weights" if entry.weights.source == "random" else f"--weights {entry.weights.name}"
            raise MarinaError(
                f"{order.name} has changed since it was built: "
                f"run scripts/build_mar.py {entry.spec} --version {order.version} {option}"
            )
    return None


def _has_weights(order: Order, entry: Entry) -> bool:
    if order.random:
        return entry.weights.chosen and entry.weights.source == "random"
    if order.weights:
        return entry.weights.chosen and entry.weights.sha256 == file_digest(order.weights)
    return not entry.weights.chosen


def carry_out(order: Order, store: Store, tell: Tell) -> tuple[Entry, bool]:
    """The version's entry, and whether it had to be built; of several processes with one order one builds.

    Raises:
        UsageError: the spec, or what it names, is wrong.
        MarinaError: a step failed; the message says which and why.
    """
    with alone(store, f"{order.found.spec.name}-{order.version}", order.name):
        entry = unchanged(order, store)
        return (entry, False) if entry else (build(order, store, tell), True)


def ensure(found: SpecFile, version: str, store: Store) -> Entry:
    """The version's entry, built anew only where something changed.

    Raises:
        MarinaError: it cannot be built, or its weights came from the command line, so that only the person can.
    """
    from marina.store.board import Board

    order = Order(found, version, keep_weights=True)
    if entry := unchanged(order, store):
        return entry
    with Board() as board:
        entry, _ = carry_out(order, store, board.begin(order.name))
        board.end(order.name, "built")
    return entry


def build(order: Order, store: Store, tell: Tell) -> Entry:
    """Build one version and record it; the index and the store change only when everything went well.

    Raises:
        UsageError: the spec, or what it names, is wrong.
        MarinaError: a step failed; the message says which and why.
    """
    found, version, began = order.found, order.version, time.monotonic()
    with bench(store) as folder, _full_disk(store):
        made = _make(order, store, tell, folder)
        entry = _entry(order, made, time.monotonic() - began)
        entry = write_bill(store, found.spec.name, version, entry, made.tried.files)
        record(store, found.spec.name, version, entry, made.archive)
    drop_old_bills(store, found.spec.name, version, entry)
    return entry


@dataclass(frozen=True)
class _Made:
    """What the steps of a build left: the archive, what it is of, and what it did when it was tried."""

    archive: Path
    network: Network
    exported: Exported
    tried: Tried
    parity: Parity
    int8: Int8 | None
    bf16: Bf16 | None


def _make(order: Order, store: Store, tell: Tell, folder: Path) -> _Made:
    """Make the archive in a folder, try it, and compare it."""
    from marina.store import archive, bf16, exporters, int8, parity, placeless, preflight, sources  # these import torch

    found, version, wanted = order.found, order.version, order.found.version(order.version)
    exporters.check_version(wanted)
    requests = int8.requests_of(found, version)
    tell("network")
    network = _load_network(order, store, tell)
    random = network.weights.source == "random"
    held_out = None if random else sources.held_out(found)
    (folder / "export").mkdir()
    staged = sources.with_sample(found, network, folder / "export")
    if wanted.precision == "int8":
        tell("calibration")
    calibration = int8.calibrate(staged, version, network, requests, held_out)
    rounded = bf16.comparison(found, version, held_out)
    tell(f"export to {wanted.runtime}")
    placeless.forget_earlier_exports()
    calibrated_on = calibration.inputs if calibration else ()
    exported = exporters.export_network(network, wanted, found.spec.tensors, folder / "export", calibrated_on)
    placeless.forget_place(exported)
    for warning in exported.warnings:
        step(f"{order.name}: warning: {warning}")
    made = folder / archive.archive_name(found.spec.name, version)
    archive.write_archive(staged, version, exported, network.labels, made)
    tell("preflight, as a worker would")
    inputs = exporters.generated_inputs(found.spec.tensors)
    inputs += int8.more_inputs(found, calibration) if calibration else bf16.more_inputs(found, rounded) if rounded else []
    asked = calibration.requests if calibration else rounded.requests if rounded else ()
    tried = preflight.try_archive(made, inputs, held_out, random, order.preflight_timeout_s, folder, asked)
    if rounded:
        loss = bf16.measure(found, version, network, rounded, tried)
        return _Made(made, network, exported, tried, bf16.differences(found, version, network, loss, tried), None, loss)
    largest = wanted.tolerance or (None if calibration else found.spec.tolerance)
    compared = parity.compare(network, tried.read or tried.pairs, largest, exported.warnings)
    cost = int8.measure(found, network, calibration, tried) if calibration else None
    return _Made(made, network, exported, tried, compared, cost, None)


def _entry(order: Order, made: _Made, seconds: float) -> Entry:
    from marina.store.sources import SAMPLE

    found, version, wanted = order.found, order.version, order.found.version(order.version)
    return Entry(
        archive=made.archive.name,
        sha256=file_digest(made.archive),
        size_bytes=made.archive.stat().st_size,
        network_bytes=(made.exported.folder / made.exported.serialized_file).stat().st_size,
        content_sha256=made.tried.content_sha256,
        inputs_sha256=inputs_digest(found, version),
        spec=_shown(found),
        runtime=wanted.runtime,
        precision=wanted.precision,
        weights=with_origin(made.network.weights, found, version),
        parity=made.parity,
        accuracy=made.tried.accuracy,
        int8=made.int8,
        bf16=made.bf16,
        warnings=list(made.exported.warnings),
        load=made.tried.load,
        sample=found.spec.sample or Sample(request=SAMPLE),
        serving=found.spec.serving,
        built_with=built_with(found, version),
        origin=origin_of(found, seconds),
    )


def saying(name: str) -> Tell:
    """Says each step once, in a line."""
    said: list[str] = []

    def tell(doing: str, _done: int = 0, _total: int = 0, /) -> None:
        if doing not in said:
            said.append(doing)
            step(f"{name}: {doing}")

    return tell


def _load_network(order: Order, store: Store, tell: Tell) -> Network:
    """The network with its weights; versions that train one file do so one after the other, so that it is done once."""
    from marina.store.sources import WeightsChoice, load_network

    found, choice = order.found, WeightsChoice(order.weights, order.random)
    source = digest_of([found.version(order.version).source.model_dump_json()])[:12]
    with alone(store, f"{found.spec.name}-{source}.training", f"{order.name}: weights"):
        return load_network(found, order.version, store, choice, partial(tell, "training"))


@contextmanager
def _full_disk(store: Store) -> Iterator[None]:
    """Say of any failure on a full disk that this is why; torch does not."""
    try:
        yield
    except (OSError, RuntimeError, MarinaError) as error:
        if shutil.disk_usage(store.folder).free > LITTLE:
            raise
        reason = "No space left on device: free some space and build again"
        raise MarinaError(f"{store.folder} could not be written: {reason}") from error


def _shown(found: SpecFile) -> str:
    """The spec as a person would name it again: by its name where it is ours, else by its path."""
    return found.spec.name if found.folder == (paths.SPECS / found.spec.name).resolve() else str(found.folder)
