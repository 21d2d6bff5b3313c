"""Make a version ready for another road to production: ONNX, C++, Triton, mobile, SageMaker."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from rich.filesize import decimal

from marina.console import out, run, step
from marina.errors import UsageError
from marina.paths import Store
from marina.roads.export import ROADS, check_installed, check_out, make, way_of
from marina.roads.order import Made, Order
from marina.store.index import read_index
from marina.store.spec import find_spec, spec_path


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__, epilog="docs/roads.md says when to take which road.")
    options.add_argument("model", help="name of a model, or path of a folder with a model.yaml")
    options.add_argument("--version", help="which of its versions (the first of its spec)")
    options.add_argument("--to", required=True, metavar="ROAD", help=", ".join(ROADS))
    options.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="to write to: a new one, or an empty one")
    options.add_argument("--exporter", help="; ".join(_ways("--exporter")))
    options.add_argument("--platform", help="; ".join(_ways("--platform")))
    options.add_argument("--with-preprocessing", action="store_true", help="put resizing and normalising into the network")
    options.add_argument("--print", action="store_true", help="with --to onnx: print the graph")
    options.add_argument("--weights", type=Path, metavar="FILE", help="a state dict to use in place of the spec's weights")
    options.add_argument("--random-weights", action="store_true", help="use random weights: good for speed tests alone")
    options.add_argument("--store", type=Path, default=Store().folder, help="folder of archives/ and weights/ (%(default)s)")
    options.add_argument("--json", action="store_true", help="print what was made as JSON")
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: _export(parser().parse_args(argv)))


def _export(options: argparse.Namespace) -> int:
    order = _checked(options)
    made = make(options.to, order, options.out)
    if options.print:
        from marina.roads.onnx import printed

        out.print(printed(options.out), markup=False)
    if options.json:
        out.print_json(data={"model": order.model, "version": order.version, "to": options.to, "by": order.way, **asdict(made)})
    elif not options.print:
        _show(options.out, made)
    return 0


def _checked(options: argparse.Namespace) -> Order:
    """What is asked for, once everything that is wrong with the command has been looked for."""
    way = way_of(options.to, options.exporter, options.platform, options.with_preprocessing)
    if options.print and options.to != "onnx":
        raise UsageError("--print goes with --to onnx")
    if options.print and options.json:
        raise UsageError("--print and --json exclude each other")
    if options.weights and options.random_weights:
        raise UsageError("--weights and --random-weights exclude each other")
    if options.weights and not options.weights.is_file():
        raise UsageError(f"--weights {options.weights}: no such file")
    check_out(options.out)
    order = _order(options, way)
    check_installed(options.to, way)
    return order


def _order(options: argparse.Namespace, way: str) -> Order:
    """The version of a spec, or of the index where no spec is of it."""
    store = Store(options.store.resolve())
    chosen = {"weights": options.weights, "random": options.random_weights, "with_preprocessing": options.with_preprocessing}
    versions = read_index(store).models.get(options.model, {})
    if not spec_path(options.model).is_file() and versions:
        version = options.version or next(iter(versions))
        if version not in versions:
            raise UsageError(f"{options.model} has no version {version}; it has: {', '.join(versions)}")
        return Order(options.model, version, None, store, way, **chosen)
    found = find_spec(options.model)
    version = options.version or next(iter(found.spec.versions))
    found.version(version)
    return Order(found.spec.name, version, found, store, way, **chosen)


def _ways(option: str) -> list[str]:
    return [f"--to {name}: {road.names}" for name, road in ROADS.items() if road.option == option and len(road.ways) > 1]


def _show(folder: Path, made: Made) -> None:
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and "archive" not in path.relative_to(folder).parts):
        out.print(f"{path}  {decimal(path.stat().st_size)}", markup=False)
    if made.difference is not None:
        compared = f"of {made.compared_rows} rows the largest difference from the eager network is {made.difference:.1e}"
        out.print(f"{compared}; allowed is {made.tolerance:g}", markup=False)
    for note in made.notes:
        step(f"note: {note}")
    if made.then:
        out.print(made.then.replace("FOLDER", str(folder)), markup=False)


if __name__ == "__main__":
    sys.exit(main())
