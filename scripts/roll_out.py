"""Give a version more and more of the requests, as long as it does no worse than the current one; else roll back."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from marina import paths
from marina.comparing.beginning import Wish, begin
from marina.comparing.carrying import carry_on
from marina.comparing.guardrails import Bounds
from marina.comparing.kept_payloads import KeptPayloads
from marina.comparing.moves import Controls, Ended, halt, pick_up, roll_back
from marina.comparing.replay import recorded, replay
from marina.comparing.rollout import Record, Rollout
from marina.console import out, run, step
from marina.durations import seconds_of
from marina.errors import MarinaError, UsageError
from marina.gateway.options import add_gateway, gateway_of
from marina.paths import State, Store
from marina.serving.access_options import access_of, add_access
from marina.serving.deployment import Deployment, read_deployment
from marina.serving.inference import Inference
from marina.serving.management import Management
from marina.serving.ports import read_ports
from marina.serving.service import Server

STEPS = "1,5,25,50,100"
EPILOG = (
    "Ctrl-C stays at the step; --resume goes on, also after a crash; scripts/roll_back.py goes back. It ends with 0 where all "
    "steps are done, with 1 where it was rolled back or waits for a person."
)


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__, epilog=EPILOG)
    options.add_argument("model", help="its name")
    options.add_argument("version", nargs="?", help="that is to get the requests")
    _add_course(options)
    _add_bounds(options)
    instead = options.add_mutually_exclusive_group()
    instead.add_argument("--dry-run", action="store_true", help="check all, replay, show the steps, and change nothing")
    instead.add_argument(
        "--resume", action="store_true", help="go on with the rollout that is paused, or whose process has ended"
    )
    instead.add_argument("--pause", action="store_true", help="have the rollout that runs stay at its step")
    options.add_argument("--yes", action="store_true", help="do not ask before it begins")
    ports = read_ports()
    add_access(options, ports)
    add_gateway(options)
    options.add_argument("--deployment", type=Path, default=paths.DEPLOYMENT, help="what should run (%(default)s)")
    options.add_argument("--store", type=Path, default=Store().folder, help="folder of archives/ and index.json (%(default)s)")
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: _act(parser().parse_args(argv)))


def _add_course(options: argparse.ArgumentParser) -> None:
    options.add_argument("--steps", type=_steps, default=_steps(STEPS), metavar="PERCENT,…", help=f"({STEPS})")
    options.add_argument(
        "--bake", type=seconds_of, default=600.0, metavar="TIME", help="that each step is watched, as 90s, 10m, 1h (10m)"
    )
    options.add_argument("--max-bake", type=seconds_of, metavar="TIME", help="to wait for enough requests in a step (6 × --bake)")
    options.add_argument(
        "--min-requests", type=_positive, default=100, metavar="N", help="that the version must have had in a step (%(default)s)"
    )
    options.add_argument(
        "--replay", metavar="FOLDER", help="of requests to ask first (those kept of callers, else the samples of both versions)"
    )


def _add_bounds(options: argparse.ArgumentParser) -> None:
    bounds = Bounds()
    options.add_argument(
        "--min-agreement",
        type=_percent,
        default=bounds.min_agreement,
        metavar="PERCENT",
        help="of recorded requests, and of a shadow's, answered as by the current arm (%(default)s)",
    )
    options.add_argument(
        "--shadow",
        type=_copied,
        metavar="PERCENT",
        help="of the requests that the version gets copies of in the steps, so that its answers are compared (the deployment's)",
    )
    options.add_argument(
        "--errors-margin", type=_percent, default=bounds.errors_margin, metavar="POINTS", help="of errors more (%(default)s)"
    )
    options.add_argument(
        "--p99-ratio", type=_ratio, default=bounds.p99_ratio, metavar="RATIO", help="of the p99s, at most (%(default)s)"
    )
    options.add_argument(
        "--alpha",
        type=_share,
        default=bounds.alpha,
        metavar="A",
        help="chance to roll back a version that is as good (%(default)s)",
    )


def _act(options: argparse.Namespace) -> int:
    access = access_of(options)
    server = Server(Management(options.management, access), Inference(options.inference, access), Store(options.store.resolve()))
    state = State(options.state.resolve())
    controls = Controls(state, gateway_of(options), server.management)
    if options.pause:
        out.print(f"{halt(controls, options.model, 'paused by roll_out.py --pause')}", markup=False)
        return 0
    with controls.record(options.model).carried_on():
        return _carry_on(controls, server, options)


def _carry_on(controls: Controls, server: Server, options: argparse.Namespace) -> int:
    deployment = read_deployment(options.deployment)
    left = _left(controls.record(options.model), options)
    if left is not None:
        return _end(controls, _picked_up(controls, left))
    rollout = begin(controls, deployment, _wish(options))
    trouble = _replayed(server, deployment, rollout, options)
    _show(rollout)
    if options.dry_run:
        out.print(f"it would not begin: {trouble}" if trouble else "nothing was changed", markup=False)
        return 1 if trouble else 0
    if trouble:
        rollout = rollout.model_copy(update={"status": "rolling back", "reason": f"before the first percent: {trouble}"})
    else:
        _agree(options)
    record = controls.record(rollout.model)
    record.write(rollout)
    record.note(rollout, "began", str(rollout))
    return _end(controls, rollout)


def _left(record: Record, options: argparse.Namespace) -> Rollout | None:
    """What an earlier run left, to go on with."""
    rollout = record.read()
    if rollout is None or not rollout.is_open:
        if options.resume:
            raise UsageError(f"{options.model}: no rollout is open; begin one: scripts/roll_out.py {options.model} VERSION")
        return None
    if options.dry_run or (not options.resume and (rollout.status == "paused" or rollout.candidate != options.version)):
        why = rollout.reason or "its process has ended"
        raise UsageError(f"{rollout}: {why}: --resume goes on, scripts/roll_back.py {options.model} goes back")
    return rollout


def _picked_up(controls: Controls, left: Rollout) -> Rollout:
    """Go on with what an earlier run left."""
    began = left.began.astimezone().strftime("%Y-%m-%d %H:%M")
    step(f"{left.model}: picked up: the rollout of {left.candidate} that began {began}, {left.status} at {left.percent:g} %")
    return pick_up(controls, left.model)


def _end(controls: Controls, rollout: Rollout) -> int:
    """Carry a rollout on until it ends, or the person stops it."""
    if rollout.status == "rolling back":
        return _tell(roll_back(controls, rollout.model, rollout.reason))
    try:
        return _tell(carry_on(controls, rollout))
    except Ended as ended:
        step(f"{rollout.model}: ended by somebody else")
        return _tell(ended.rollout) if ended.rollout else 1
    except KeyboardInterrupt:
        return _tell(halt(controls, rollout.model, "paused by Ctrl-C"), interrupted=130)


def _tell(rollout: Rollout, interrupted: int = 1) -> int:
    """How it ended, and what to do next."""
    if rollout.status == "done":
        weights = ", ".join(f'"{version}": {weight:g}' for version, weight in rollout.split.weights.items())
        out.print(
            f"{rollout.model}: done: {rollout.split}\nIt stays so until the deployment says otherwise; to write it down there:\n"
            f"  split: {{weights: {{{weights}}}}}",
            markup=False,
        )
        return 0
    if rollout.status == "rolled back":
        out.print(f"{rollout.model}: rolled back to {rollout.before}: {rollout.reason}", markup=False)
    else:
        out.print(
            f"{rollout.model}: stays at {rollout.split}: {rollout.reason}\n"
            f"  go on:   scripts/roll_out.py {rollout.model} --resume\n  go back: scripts/roll_back.py {rollout.model}",
            markup=False,
        )
    return interrupted


def _agree(options: argparse.Namespace) -> None:
    if options.yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("nobody is there to agree: give --yes, or look first with --dry-run")
    if out.input("begin? [y/N] ").strip().lower() not in ("y", "yes"):
        raise MarinaError("not begun; nothing was changed")


def _replayed(server: Server, deployment: Deployment, rollout: Rollout, options: argparse.Namespace) -> str | None:
    """Ask what was recorded; returns why the version should not be given callers, or None."""
    built_as = deployment.models[rollout.model].of or rollout.model
    arms = (rollout.candidate, rollout.current)
    kept = KeptPayloads(State(options.state.resolve())).read(rollout.model) if options.replay is None else []
    payloads = kept or recorded(options.replay, server, [(built_as, version) for version in arms])
    source = options.replay or ("what was kept of callers" if kept else "the samples of both archives")
    step(f"{rollout.model}: both versions are asked first: {source}")
    found = replay(server.inference, rollout.model, arms, payloads)
    step(f"{rollout.model}: {found}")
    return found.trouble(rollout.bounds.min_agreement / 100, rollout.bounds.p99_ratio)


def _show(rollout: Rollout) -> None:
    """What will be done."""
    step(f"{rollout.model}: {rollout.before}; {rollout.candidate} is compared with {rollout.current}")
    if rollout.shadow:
        instead = f", in place of the shadow {rollout.before_shadow.version}" if rollout.before_shadow else ""
        step(f"{rollout.model}: {rollout.candidate} gets copies of {rollout.shadow.percent:g} % of the requests{instead}")
    for position, percent in enumerate(rollout.steps):
        split = rollout.model_copy(update={"position": position}).split
        step(f"  {percent:g} %: {split}; {rollout.bake_seconds:g} s, {rollout.min_requests} requests at least")


def _wish(options: argparse.Namespace) -> Wish:
    if options.version is None:
        raise UsageError(f"which version? scripts/roll_out.py {options.model} VERSION")
    bounds = Bounds(
        min_agreement=options.min_agreement,
        errors_margin=options.errors_margin,
        p99_ratio=options.p99_ratio,
        alpha=options.alpha,
    )
    longest = options.max_bake or 6 * options.bake
    if longest < options.bake:
        raise UsageError(f"--max-bake must be at least --bake; found {longest:g} s and {options.bake:g} s")
    asked = (options.model, options.version, options.steps, options.bake, longest, options.min_requests, bounds, options.shadow)
    return Wish(*asked)


def _steps(text: str) -> list[float]:
    try:
        steps = [float(part) for part in text.split(",")]
    except ValueError:
        steps = []
    exact = all(0 < step <= 100 and round(step, 2) == step for step in steps)
    if not steps or not exact or steps != sorted(set(steps)):
        raise argparse.ArgumentTypeError(
            f"required percent that rise, above 0 to 100, in steps of 0.01, as {STEPS}; found {text!r}"
        )
    return steps


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"required a number of 1 or more, found {text!r}")
    return int(text)


def _percent(text: str) -> float:
    return _between(text, 0, 100)


def _copied(text: str) -> float:
    return _between(text, 0.01, 100)


def _ratio(text: str) -> float:
    return _between(text, 1, 100)


def _share(text: str) -> float:
    return _between(text, 1e-6, 0.5)


def _between(text: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"required a number from {low:g} to {high:g}, found {text!r}")
    return value


if __name__ == "__main__":
    sys.exit(main())
