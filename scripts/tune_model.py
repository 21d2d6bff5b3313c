"""Find how a model is served best on this machine (runtime, precision, batches, workers, threads), and write it into its spec."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.table import Table

from marina.console import err, out, run, step
from marina.durations import latency_of, seconds_of
from marina.errors import UsageError
from marina.measuring.load import require_locust
from marina.paths import State, Store
from marina.remembering import replace_whole
from marina.store.spec import FILE_NAME, find_spec
from marina.tuning.archives import Weights
from marina.tuning.formats import PRECISIONS, RUNTIMES, possible_formats
from marina.tuning.machine import this_machine
from marina.tuning.objective import Objective, Served
from marina.tuning.plan import Plan, requests_of, space_of, with_floor
from marina.tuning.result import Result
from marina.tuning.search import most_served
from marina.tuning.space import Point
from marina.tuning.tuning import forget_all, tune
from marina.tuning.writing import Change, change_of, evidence_path, require_free, require_writable

EPILOG = (
    "Ctrl-C keeps what was measured, and the same command goes on from there; --again begins anew. Exits with 0 where it found "
    "settings that meet the objective, 1 where none do, 2 where the command is wrong. How it searches: docs/performance.md."
)


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__, epilog=EPILOG)
    options.add_argument("spec", help="name of a spec in model_store/specs, or path of a folder with a model.yaml")
    options.add_argument("--version", help="that is tuned; may be left out where the spec has one alone")
    options.add_argument("--goal", choices=("throughput", "latency"), default="throughput", help="latency is p50 (%(default)s)")
    options.add_argument("--p99", type=latency_of, metavar="TIME", help="most that the p99 may be, as 50ms (any)")
    options.add_argument("--connections", type=int, metavar="N", help="that ask at once (16; with --goal latency 1)")
    options.add_argument(
        "--agreement", type=float, metavar="SHARE", help="of answers in int8 or bf16 that must be those in fp32 (the spec's)"
    )
    options.add_argument("--runtimes", nargs="+", choices=RUNTIMES, default=RUNTIMES, help="that may be chosen (all)")
    options.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS, help="that may be chosen (all)")
    options.add_argument("--requests", metavar="SOURCE", help="file, or folder of files, to ask with (the spec's sample)")
    options.add_argument("--budget", type=seconds_of, default=900.0, metavar="TIME", help="that all may take, as 15m (15m)")
    weights = options.add_mutually_exclusive_group()
    weights.add_argument("--weights", type=Path, metavar="FILE", help="a state dict to use in place of the spec's weights")
    weights.add_argument("--random-weights", action="store_true", help="use random weights: speed alone is measured then")
    options.add_argument("--write", action="store_true", help="write what is found into model.yaml, and the evidence beside it")
    where = options.add_mutually_exclusive_group()
    where.add_argument("--as", dest="becomes", metavar="NAME", help="of the version that is written (VERSION-tuned)")
    where.add_argument("--in-place", action="store_true", help="change the version itself, also where its answers may change")
    options.add_argument("--again", action="store_true", help="forget what an earlier run measured")
    options.add_argument("--dry-run", action="store_true", help="say what would be tried, and measure nothing")
    options.add_argument("--store", type=Path, default=Store().folder, help="folder whose trained weights are used (%(default)s)")
    options.add_argument("--state", type=Path, default=State().folder, help="folder of what is remembered (%(default)s)")
    options.add_argument("--json", action="store_true", help="print the evidence as JSON")
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: _tune(parser().parse_args(argv)))


def _tune(options: argparse.Namespace) -> int:
    plan = _plan(options)
    if options.dry_run:
        _show_plan(plan, options.json)
        return 0
    if options.again:
        forget_all(plan)
    try:
        result = tune(plan)
    except KeyboardInterrupt:
        err.print(f"what was measured is kept in {plan.journal}: the same command goes on from there", markup=False)
        raise
    change = change_of(plan.found, plan.target(result.chosen), result.chosen, plan.machine.cores)
    if options.json:
        out.print_json(data=result.model_dump(mode="json"))
    else:
        _show(result, change)
    _write(options, plan, result, change)
    return 0


def _plan(options: argparse.Namespace) -> Plan:
    """Everything that is wrong with the command, before anything is built or measured."""
    _check(options)
    found = find_spec(options.spec)
    version = options.version or _only(list(found.spec.versions), found.spec.name)
    found.version(version)
    connections = options.connections or (1 if options.goal == "latency" else 16)
    objective = Objective(goal=options.goal, p99_s=options.p99, connections=connections)
    machine = this_machine()
    if options.becomes:
        require_free(found, options.becomes)
    if options.write:
        require_writable(found)
    if not options.dry_run:
        require_locust()
    requests = requests_of(found, options.requests)
    formats = possible_formats(found, version, options.runtimes, options.precisions)
    return Plan(
        found=with_floor(found, options.agreement),
        version=version,
        objective=objective,
        space=space_of(formats, objective, machine.cores),
        requests=requests,
        weights=Weights(options.weights.resolve() if options.weights else None, options.random_weights),
        machine=machine,
        store=Store(options.store.resolve()),
        state=State(options.state.resolve()),
        budget_s=options.budget,
        becomes=options.becomes,
        in_place=options.in_place,
    )


def _check(options: argparse.Namespace) -> None:
    if options.connections is not None and not 1 <= options.connections <= 1000:
        raise UsageError(f"--connections {options.connections}: required from 1 to 1000")
    if options.agreement is not None and not 0 <= options.agreement <= 1:
        raise UsageError(f"--agreement {options.agreement:g}: required a share from 0 to 1, as 0.99")
    if options.weights and not options.weights.is_file():
        raise UsageError(f"--weights {options.weights}: no such file")
    if options.becomes and options.becomes == options.version:
        raise UsageError(f"--as {options.becomes}: is the version that is tuned: --in-place changes it")


def _only(versions: list[str], model: str) -> str:
    if len(versions) != 1:
        raise UsageError(f"{model} has versions {', '.join(versions)}: say which is tuned by --version")
    return versions[0]


def _show_plan(plan: Plan, as_json: bool) -> None:
    points, most = len(plan.space.points()), most_served(plan.space)
    if as_json:
        out.print_json(
            data={"space": plan.space.model_dump(), "points": points, "most": most, "default": plan.default.model_dump()}
        )
        return
    rows = {
        "wanted": str(plan.objective),
        "machine": str(plan.machine),
        "formats": ", ".join(map(str, plan.space.formats)),
        "workers × threads": ", ".join(map(str, plan.space.layouts)),
        "batch sizes": ", ".join(map(str, plan.space.batches)),
        "delays, ms": ", ".join(map(str, plan.space.delays_ms)),
        "as it is": str(plan.default),
        "served": f"at most {most} of {points} points, within {plan.budget_s or 0:.0f} s",
    }
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, text in rows.items():
        table.add_row(name, text)
    out.print(table)


def _show(result: Result, change: Change) -> None:
    columns = ("", "runtime", "precision", "workers × threads", "batch", "delay ms", "a second", "p50 ms", "p99 ms", "failed")
    table = Table(*columns, box=None, pad_edge=False)
    names = {result.default: "as it was", result.chosen: "tuned"}
    for point, served in sorted(result.finalists.items(), key=lambda one: result.objective.rank(one[1]), reverse=True):
        table.add_row(names.get(point, ""), *_cells(point, served))
    out.print(table)
    for build in result.builds:
        if build.reason:
            out.print(f"left out: {build.format}: {build.reason}", markup=False)
    tried = f"{len(result.tried)} of {result.points} points were served"
    if result.ratio is None:
        same = result.chosen == result.default
        why = "What the spec says is the best of them." if same else "What the spec says could not be served."
        out.print(f"{tried}. {why}", markup=False)
    else:
        what = "answers a second" if result.objective.goal == "throughput" else "1 / p50"
        confidence = f"{result.ratio.confidence:.0%} interval of {len(result.rounds)} rounds"
        out.print(f"{tried}. Tuned over as it was, {what}: {result.ratio}, {confidence}.", markup=False)
    if change.diff:
        out.print(f"\n{change.diff}", markup=False)


def _cells(point: Point, served: Served) -> tuple[str, ...]:
    rate, p50, p99 = f"{served.throughput:.1f}", f"{served.p50_s * 1000:.1f}", f"{served.p99_s * 1000:.1f}"
    settings = (str(point.layout), str(point.batch_size), str(point.max_batch_delay_ms))
    return (point.format.runtime, point.format.precision, *settings, rate, p50, p99, str(served.failures))


def _write(options: argparse.Namespace, plan: Plan, result: Result, change: Change) -> None:
    """Write what was found, where the person wants it; else say how."""
    if not change.diff:
        step("nothing to write")
        return
    if not options.write:
        step("nothing was written: the same command with --write writes it, and measures nothing anew")
        return
    evidence = evidence_path(plan.found, plan.target(result.chosen))
    replace_whole(evidence, result.model_dump_json(indent=2) + "\n")
    evidence.chmod(change.path.stat().st_mode)
    change.write()
    step(f"{plan.found.folder / FILE_NAME} and {evidence.name} are written: build it with scripts/build_mar.py {options.spec}")


if __name__ == "__main__":
    sys.exit(main())
