"""Predict many inputs, a folder's or a table's, by one process or several, into one Parquet table; resumed after a stop."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from marina.console import out, run, step
from marina.errors import MarinaError, UsageError
from marina.paths import Store

if TYPE_CHECKING:
    from marina.roads.batch_run import Done, Job

PART_ROWS, BATCH_ROWS = 512, 32


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("model", help="name or path of a spec, or name of a model of the store")
    options.add_argument("source", type=Path, help="a folder, or a CSV or Parquet file with a column of paths")
    options.add_argument("--output", type=Path, required=True, help="the Parquet file to write; parts lie beside it until it is")
    options.add_argument("--version", help="of the model (the first that is built)")
    options.add_argument("--column", default="path", help="of the table, with the paths (%(default)s)")
    options.add_argument("--processes", type=int, default=1, help="on this machine (%(default)s); torchrun says it by itself")
    options.add_argument("--batch-rows", type=int, default=BATCH_ROWS, help="inputs computed together (%(default)s)")
    options.add_argument("--part-rows", type=int, default=PART_ROWS, help="inputs that a stop may cost (%(default)s)")
    options.add_argument("--force", action="store_true", help="replace an output, or an unfinished run, of something else")
    options.add_argument("--store", type=Path, default=Store().folder, help="folder of the store (%(default)s)")
    options.add_argument("--json", action="store_true", help="print what came as JSON")
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: _predict(parser().parse_args(argv)))


def _predict(options: argparse.Namespace) -> int:
    _check(options)
    if "RANK" in os.environ:
        from marina.roads.torchrun import predict

        return predict(lambda: _job(options), lambda done: _tell(options, done))
    from marina.roads.batch_run import alone, compute, finish, prepare

    job = _job(options)
    with alone(job):
        parts = prepare(job)
        if parts is None:
            return 0
        done = compute(parts, options.processes)
        _tell(options, replace(done, counts=finish(parts, job.output)))
    return 0


def _check(options: argparse.Namespace) -> None:
    for name in ("processes", "batch_rows", "part_rows"):
        if getattr(options, name) < 1:
            raise UsageError(f"--{name.replace('_', '-')} must be at least 1; found {getattr(options, name)}")
    if options.output.suffix != ".parquet":
        raise UsageError(f"--output must be a .parquet file; found {options.output}")
    if importlib.util.find_spec("lightning") is None:
        raise MarinaError("lightning is required and not installed: .venv/bin/pip install lightning")


def _job(options: argparse.Namespace) -> Job:
    from marina.roads.batch_run import Job
    from marina.roads.chosen import choose
    from marina.roads.listing import list_inputs

    inputs = list_inputs(options.source, options.column)
    model, version, entry, archive = choose(options.model, options.version, Store(options.store.resolve()))
    step(f"{model} {version}: {len(inputs.names):,} inputs")
    rows = options.part_rows, options.batch_rows
    return Job(archive, entry.sha256, inputs, options.output.resolve(), *rows, options.force)


def _tell(options: argparse.Namespace, done: Done) -> None:
    rate = done.computed / done.seconds if done.seconds else 0.0
    if options.json:
        told = {
            "output": str(options.output),
            "statuses": done.counts,
            "computed": done.computed,
            "seconds": round(done.seconds, 2),
        }
        out.print(json.dumps(told), markup=False)
        return
    rows = sum(done.counts.values())
    statuses = ", ".join(f"{count:,} {status}" for status, count in sorted(done.counts.items()))
    out.print(f"{options.output}: {rows:,} rows ({statuses}); {done.computed:,} computed now, {rate:,.0f} a second", markup=False)


if __name__ == "__main__":
    sys.exit(main())
