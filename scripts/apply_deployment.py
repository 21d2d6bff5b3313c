"""Show how what runs differs from config/deployment.yaml, and make it so, without a gap for callers."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from marina import paths
from marina.comparing.live import Standing, standing
from marina.comparing.rollout import open_rollouts
from marina.console import out, run, step
from marina.errors import MarinaError
from marina.gateway.gateway import Gateway
from marina.gateway.options import add_gateway, gateway_of
from marina.paths import State, Store
from marina.serving.access_options import access_of, add_access
from marina.serving.apply import House, alone, carry_out, look, require_one_server
from marina.serving.deployment import Deployment, read_deployment
from marina.serving.differences import Differences, Rules
from marina.serving.inference import Inference
from marina.serving.management import Management
from marina.serving.ports import read_ports
from marina.serving.service import Server

EPILOG = (
    "Versions that a deployment brought are unregistered when they are no longer in it; versions that were registered by hand "
    "are only with --prune. It can be stopped at any step: a second run does the rest."
)


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__, epilog=EPILOG)
    options.add_argument("--deployment", type=Path, default=paths.DEPLOYMENT, help="what should run (%(default)s)")
    only = options.add_mutually_exclusive_group()
    only.add_argument("--plan", action="store_true", help="show the steps, and change nothing")
    only.add_argument("--check", action="store_true", help="show the steps, change nothing, and exit with 1 where there are any")
    options.add_argument("--prune", action="store_true", help="unregister what was registered by hand, too")
    options.add_argument("--as-file", action="store_true", help="take the file's split, where a rollout has moved the live one")
    options.add_argument(
        "--allow-gap", action="store_true", help="register a version again also where nothing can answer for it meanwhile"
    )
    ports = read_ports()
    add_access(options, ports)
    add_gateway(options)
    options.add_argument("--no-gateway", action="store_true", help="leave the gateway as it is: TorchServe alone")
    options.add_argument("--store", type=Path, default=Store().folder, help="folder of archives/ and index.json (%(default)s)")
    options.add_argument("--json", action="store_true", help="print the steps as JSON")
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: _apply(parser().parse_args(argv)))


def _apply(options: argparse.Namespace) -> int:
    deployment = read_deployment(options.deployment)
    house = _house(options, deployment)
    rules = Rules(prune=options.prune, allow_gap=options.allow_gap, rolling=open_rollouts(house.state))
    stands = standing(deployment, house.state, as_file=options.as_file)
    if options.plan or options.check:
        found = look(house, stands, rules)
        _show(found, stands.notes, options)
        return 1 if options.check and (found.steps or found.refused) else 0
    with alone(house.state):
        return _carry_out(house, stands, rules, options)


def _carry_out(house: House, stands: Standing, rules: Rules, options: argparse.Namespace) -> int:
    found = look(house, stands, rules)
    for note in (*stands.notes, *found.notes):
        step(note)
    if found.refused:
        raise MarinaError("; ".join(found.refused))
    require_one_server(house, found.steps)
    carry_out(house, stands, found.steps)
    if options.json:
        out.print_json(data=_document(found, stands.notes))
    else:
        out.print(f"{len(found.steps)} steps done" if found.steps else "nothing to do")
    return 0


def _show(found: Differences, notes: list[str], options: argparse.Namespace) -> None:
    if options.json:
        out.print_json(data=_document(found, notes))
        return
    for note in (*notes, *found.notes):
        step(note)
    for number, one in enumerate(found.steps, 1):
        out.print(f"{number}. {one.text}", markup=False)
    for reason in found.refused:
        out.print(f"refused: {reason}", markup=False)
    if not found.steps and not found.refused:
        out.print("nothing to do")


def _document(found: Differences, notes: list[str]) -> dict[str, object]:
    steps = [{key: value for key, value in asdict(one).items() if value not in (None, "")} for one in found.steps]
    return {"steps": steps, "refused": found.refused, "notes": [*notes, *found.notes]}


def _house(options: argparse.Namespace, deployment: Deployment) -> House:
    access = access_of(options)
    server = Server(Management(options.management, access), Inference(options.inference, access), Store(options.store.resolve()))
    state = State(options.state.resolve())
    return House(server, state, None if options.no_gateway else _gateway(state, deployment, options))


def _gateway(state: State, deployment: Deployment, options: argparse.Namespace) -> Gateway | None:
    """The gateway of a state; none where there is none, and nothing for one to do."""
    is_there = any(state.gateway.glob("*"))
    if not is_there and not any(deployed.split or deployed.shadow for deployed in deployment.models.values()):
        return None
    if not is_there:
        raise MarinaError(
            f"the deployment shares requests between versions, and {state.gateway} has no gateway: start one with make serve, "
            "name its folder by --state, or leave it out by --no-gateway"
        )
    return gateway_of(options)


if __name__ == "__main__":
    sys.exit(main())
