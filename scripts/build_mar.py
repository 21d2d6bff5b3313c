"""Build archives (.mar) from specs: export, try as a worker would, compare, record."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.table import Table

from marina import paths
from marina.console import out, run, step
from marina.errors import MarinaError, UsageError
from marina.paths import Store
from marina.serving.deployment import read_deployment
from marina.store.build import adopted_entry, build, ensure, is_current
from marina.store.index import Entry, find_entry
from marina.store.spec import SpecFile, find_spec


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("spec", nargs="*", help="name of a spec in model_store/specs, or path of a folder with a model.yaml")
    options.add_argument("--version", help="build this version alone")
    options.add_argument("--deployed", action="store_true", help="build what config/deployment.yaml names, where it changed")
    options.add_argument("--weights", type=Path, metavar="FILE", help="a state dict to use in place of the spec's weights")
    options.add_argument("--random-weights", action="store_true", help="use random weights: good for speed tests alone")
    options.add_argument("--force", action="store_true", help="build also what has not changed")
    options.add_argument("--store", type=Path, default=Store().folder, help="folder of archives/ and index.json (%(default)s)")
    options.add_argument("--deployment", type=Path, default=paths.DEPLOYMENT, help="with --deployed (%(default)s)")
    options.add_argument("--json", action="store_true", help="print the index entries as JSON")
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: _build(parser().parse_args(argv)))


def _build(options: argparse.Namespace) -> int:
    store = Store(options.store.resolve())
    _check(options)
    if options.deployed:
        wanted = read_deployment(options.deployment).versions()
        found = dict.fromkeys((version.spec or version.built_as, version.name) for version in wanted)
        own = [(name, version) for name, version in found if not adopted_entry(name, version, store)]
        entries = [(spec := find_spec(name), version, ensure(spec, version, store)) for name, version in own]
    else:
        entries = [(spec, version, _build_one(spec, version, store, options)) for spec, version in _asked(options)]
    _show(entries, options.json)
    return 0


def _check(options: argparse.Namespace) -> None:
    """Everything that is wrong with the command, before anything is built."""
    if bool(options.spec) == options.deployed:
        raise UsageError("name a spec, or give --deployed")
    if options.weights and options.random_weights:
        raise UsageError("--weights and --random-weights exclude each other")
    if options.deployed and (options.weights or options.random_weights):
        raise UsageError("--weights and --random-weights go with the name of a spec, not with --deployed")
    if options.weights and not options.weights.is_file():
        raise UsageError(f"--weights {options.weights}: no such file")
    asked = _asked(options)
    if options.weights and len(asked) > 1:
        versions = ", ".join(version for _, version in asked)
        raise UsageError(f"--weights goes with one version: add --version, one of {versions}")


def _asked(options: argparse.Namespace) -> list[tuple[SpecFile, str]]:
    asked = []
    for spec in map(find_spec, options.spec):
        if options.version:
            spec.version(options.version)
        asked += [(spec, version) for version in spec.spec.versions if options.version in (None, version)]
    return asked


def _build_one(spec: SpecFile, version: str, store: Store, options: argparse.Namespace) -> Entry:
    if not options.force and (adopted := adopted_entry(spec.spec.name, version, store)):
        reason = f"was adopted from {adopted.weights.name}, which a build would replace"
        raise MarinaError(f"{spec.spec.name} {version} {reason}: give --force, or the spec another version")
    own_weights = not (options.weights or options.random_weights)
    if own_weights and not options.force and is_current(spec, version, store):
        entry = find_entry(store, spec.spec.name, version)
        if not entry.weights.chosen:
            step(f"{spec.spec.name} {version}: nothing has changed since it was built")
            return entry
    from marina.store.sources import WeightsChoice

    return build(spec, version, store, WeightsChoice(options.weights, options.random_weights))


def _show(entries: list[tuple[SpecFile, str, Entry]], as_json: bool) -> None:
    if as_json:
        rows = [{"model": spec.spec.name, "version": version, **entry.model_dump()} for spec, version, entry in entries]
        out.print_json(data=rows)
        return
    table = Table("archive", "runtime", "weights", "parity", "accuracy", "MB", "SHA-256", box=None, pad_edge=False)
    for _, _, entry in entries:
        accuracy = str(entry.accuracy or "not measured")
        parity = f"{entry.parity.largest_difference:.0e}" if entry.parity else "not measured"
        size = f"{entry.size_bytes / 1e6:.1f}"
        table.add_row(entry.archive, entry.runtime, entry.weights.source, parity, accuracy, size, entry.sha256[:12])
    out.print(table)


if __name__ == "__main__":
    sys.exit(main())
