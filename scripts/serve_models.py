"""Serve what config/deployment.yaml names, on this machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

from marina import paths
from marina.config.settings import read_settings
from marina.console import run
from marina.durations import seconds_of
from marina.gateway.keys import keys_file
from marina.gateway.place import LOOPBACK, Address, Place
from marina.gateway.serving import GatewayPlan
from marina.gateway.settings import read_gateway_settings
from marina.paths import State, Store
from marina.serving.deployment import read_deployment
from marina.serving.ports import read_ports
from marina.serving.properties import ports_in
from marina.serving.serve import EVERYWHERE, Plan, serve


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(
        description=__doc__,
        epilog="Ports come from INFERENCE_PORT, MANAGEMENT_PORT, METRICS_PORT, GRPC_INFERENCE_PORT and "
        "GRPC_MANAGEMENT_PORT, in the environment or in .env, else from --config; the gateway's from GATEWAY_PORT and "
        "GATEWAY_INTERNAL_PORT.",
    )
    options.add_argument("--deployment", type=Path, default=paths.DEPLOYMENT, help="what to serve (%(default)s)")
    options.add_argument("--config", type=Path, default=paths.SERVER_CONFIG, help="TorchServe's settings (%(default)s)")
    options.add_argument("--store", type=Path, default=Store().folder, help="folder of archives/ and index.json (%(default)s)")
    options.add_argument("--logs", type=Path, default=paths.ROOT / "logs", help="folder for TorchServe's logs (%(default)s)")
    options.add_argument(
        "--address",
        help="address to listen on (those of --config); beyond loopback whoever reaches the machine can register models, unless "
        "--config has TLS and tokens",
    )
    options.add_argument("--state", type=Path, default=State().folder, help="folder of what is remembered (%(default)s)")
    options.add_argument("--gateway", type=Path, default=paths.GATEWAY_CONFIG, help="the gateway's settings (%(default)s)")
    options.add_argument(
        "--restarts",
        type=_count,
        default=3,
        metavar="N",
        help="of a TorchServe that ends by itself, within five minutes; 0: end with it, as containers do (%(default)s)",
    )
    options.add_argument(
        "--drain",
        type=seconds_of,
        default=0.0,
        metavar="TIME",
        help="go on answering for so long when asked to stop, until who sends requests knows, as 15s (not at all)",
    )
    which = options.add_mutually_exclusive_group()
    which.add_argument("--no-gateway", action="store_true", help="leave the gateway out: callers ask TorchServe itself")
    which.add_argument(
        "--gateway-at",
        nargs=2,
        metavar=("ADDRESS", "HOST"),
        help="something else starts the gateway, on the files of --state: its address inside, and the host by which it reaches "
        "this TorchServe",
    )
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: serve(_plan(parser().parse_args(argv))))


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"required a number of 0 or more, found {text!r}")
    return int(text)


def _plan(options: argparse.Namespace) -> Plan:
    deployment = read_deployment(options.deployment)
    settings = read_settings(options.config, os.environ)
    ports = read_ports(ports_in(settings))
    logs, state = options.logs.resolve(), State(options.state.resolve())
    plan = Plan(
        deployment,
        Store(options.store.resolve()),
        ports,
        options.address,
        logs,
        settings,
        state,
        restarts=options.restarts,
        drain_seconds=options.drain,
    )
    return plan if options.no_gateway else replace(plan, gateway=_gateway(options, plan))


def _gateway(options: argparse.Namespace, plan: Plan) -> GatewayPlan:
    settings, ports = read_gateway_settings(options.gateway), plan.ports
    inside, host = options.gateway_at or (LOOPBACK, None)
    place = Place(
        callers=Address(EVERYWHERE if host else settings.address, ports.gateway_port),
        internal=Address(inside, ports.gateway_internal_port),
        inference=Address(host or plan.reached("inference"), ports.inference_port),
        management=Address(host or plan.reached("management"), ports.management_port),
        grpc=Address(host or plan.reached("grpc_inference"), ports.grpc_inference_port),
    )
    keys = keys_file(settings.keys, os.environ, paths.ROOT)
    return GatewayPlan(plan.state, settings, place, keys, is_ours=host is None)


if __name__ == "__main__":
    sys.exit(main())
