"""Build archives (.mar) from specs: export, try as a worker would, compare, record."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.table import Table

from marina import paths
from marina.console import err, out, run
from marina.errors import MarinaError, UsageError
from marina.paths import Store
from marina.serving.deployment import read_deployment
from marina.store.build import PREFLIGHT_TIMEOUT_S, Order, entry_without_spec
from marina.store.crew import Outcome, carry_out_all
from marina.store.spec import FILE_NAME, SpecFile, find_spec


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("spec", nargs="*", help="name of a spec in model_store/specs, or path of a folder with a model.yaml")
    options.add_argument("--all", action="store_true", help="build every spec in model_store/specs, beside those that are named")
    options.add_argument("--version", help="build this version alone")
    options.add_argument("--deployed", action="store_true", help="build what config/deployment.yaml names, where it changed")
    options.add_argument("--weights", type=Path, metavar="FILE", help="a state dict to use in place of the spec's weights")
    options.add_argument("--random-weights", action="store_true", help="use random weights: good for speed tests alone")
    options.add_argument("--force", action="store_true", help="build also what has not changed")
    options.add_argument("--jobs", type=int, default=1, metavar="N", help="build so many at once, in processes (%(default)s)")
    options.add_argument("--store", type=Path, default=Store().folder, help="folder of archives/ and index.json (%(default)s)")
    options.add_argument("--deployment", type=Path, default=paths.DEPLOYMENT, help="with --deployed (%(default)s)")
    options.add_argument(
        "--preflight-timeout",
        type=float,
        default=PREFLIGHT_TIMEOUT_S,
        metavar="SECONDS",
        help="how long an archive may take to load and to answer what it is asked (%(default)s)",
    )
    options.add_argument("--json", action="store_true", help="print the index entries as JSON")
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: _build(parser().parse_args(argv)))


def _build(options: argparse.Namespace) -> int:
    _check(options)
    orders = _deployed(options) if options.deployed else _asked(options)
    outcomes = carry_out_all(orders, Store(options.store.resolve()), options.jobs)
    _show(outcomes, options.json)
    return _exit_code([outcome for outcome in outcomes if outcome.entry is None], len(outcomes))


def _check(options: argparse.Namespace) -> None:
    """Everything that is wrong with the command, before anything is built."""
    if bool(options.spec or options.all) == options.deployed:
        raise UsageError("name a spec, or give --all or --deployed")
    if options.weights and options.random_weights:
        raise UsageError("--weights and --random-weights exclude each other")
    if options.deployed and (options.weights or options.random_weights):
        raise UsageError("--weights and --random-weights go with the name of a spec, not with --deployed")
    if options.weights and not options.weights.is_file():
        raise UsageError(f"--weights {options.weights}: no such file")
    if options.jobs < 1:
        raise UsageError(f"--jobs {options.jobs}: required a number of processes, 1 or more")
    if not options.preflight_timeout > 0:
        raise UsageError(f"--preflight-timeout {options.preflight_timeout:g}: required more than 0 seconds")
    asked = [] if options.deployed else _asked(options)
    if options.weights and len(asked) > 1:
        versions = ", ".join(order.version for order in asked)
        raise UsageError(f"--weights goes with one version: add --version, one of {versions}")


def _asked(options: argparse.Namespace) -> list[Order]:
    """The versions of the specs that are named, each once; with --all a version need not be in every spec."""
    specs = {(spec := find_spec(name)).folder: spec for name in options.spec}
    for spec in specs.values():
        if options.version:
            spec.version(options.version)
    if options.all:
        specs |= {(spec := find_spec(path.parent.name)).folder: spec for path in sorted(paths.SPECS.glob(f"*/{FILE_NAME}"))}
    if options.version and not any(options.version in spec.spec.versions for spec in specs.values()):
        raise UsageError(f"--version {options.version}: no spec in {paths.SPECS} has it")
    versions = [(spec, one) for spec in specs.values() for one in spec.spec.versions if options.version in (None, one)]
    return [_order(spec, version, options) for spec, version in versions]


def _deployed(options: argparse.Namespace) -> list[Order]:
    """The versions that are deployed, each once; what was adopted, or pulled without its spec, is not built."""
    wanted = read_deployment(options.deployment).versions()
    found = dict.fromkeys((version.spec or version.built_as, version.name) for version in wanted)
    store = Store(options.store.resolve())
    own = [(name, version) for name, version in found if not entry_without_spec(name, version, store)]
    return [_order(find_spec(name), version, options) for name, version in own]


def _order(spec: SpecFile, version: str, options: argparse.Namespace) -> Order:
    return Order(
        spec,
        version,
        weights=options.weights,
        random=options.random_weights,
        force=options.force,
        keep_weights=options.deployed,
        preflight_timeout_s=options.preflight_timeout,
    )


def _show(outcomes: list[Outcome], as_json: bool) -> None:
    built = [(outcome, outcome.entry) for outcome in outcomes if outcome.entry]
    if as_json:
        rows = [
            {
                "model": one.order.found.spec.name,
                "version": one.order.version,
                "outcome": one.how,
                **entry.model_dump(mode="json"),
            }
            for one, entry in built
        ]
        out.print_json(data=rows)
        return
    columns = ("archive", "outcome", "runtime", "weights", "parity", "accuracy", "MB", "load s", "worker MB", "SHA-256")
    table = Table(*columns, box=None, pad_edge=False)
    for one, entry in built:
        accuracy = str(entry.accuracy or "not measured")
        parity = f"{entry.parity.largest_difference:.0e}" if entry.parity else "not measured"
        size = f"{entry.size_bytes / 1e6:.1f}"
        load = (f"{entry.load.seconds:.1f}", f"{entry.load.memory_bytes / 1e6:.0f}") if entry.load else ("", "")
        row = (entry.archive, one.how, entry.runtime, entry.weights.source, parity, accuracy, size, *load, entry.sha256[:12])
        table.add_row(*row)
    if built:
        out.print(table)


def _exit_code(failed: list[Outcome], asked: int) -> int:
    """Says why versions were not built, each reason once; 2 where the specs or the command are to blame, else 1."""
    reasons = list(dict.fromkeys(one.reason for one in failed))
    if not failed:
        return 0
    if len(reasons) == 1:
        err.print(f"error: {reasons[0]}", markup=False)
    else:
        for one in failed:
            err.print(f"failed: {one.order.name}: {one.reason}", markup=False)
        err.print(f"error: {len(failed)} of {asked} versions were not built", markup=False)
    return UsageError.exit_code if all(one.exit_code == UsageError.exit_code for one in failed) else MarinaError.exit_code


if __name__ == "__main__":
    sys.exit(main())
