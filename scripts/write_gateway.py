"""Write the files of a gateway in front of several TorchServes that answer by one name, as on Docker Swarm."""

from __future__ import annotations

import argparse
import ipaddress
import os
import sys
from pathlib import Path

from marina import paths
from marina.comparing.live import standing
from marina.comparing.served_recorder import tell_split
from marina.console import out, run, step
from marina.gateway.gateway import Gateway
from marina.gateway.keys import keys_file, read_keys
from marina.gateway.place import EVERYWHERE, Address, Place
from marina.gateway.settings import read_gateway_settings
from marina.paths import State
from marina.serving.deployment import read_deployment
from marina.serving.ports import read_ports

EPILOG = (
    "Something else starts the gateway, on the files of --state; the TorchServes are started with --no-gateway. What a running "
    "gateway does is changed by scripts/apply_deployment.py. docs/swarm.md has the whole."
)


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__, epilog=EPILOG)
    options.add_argument("servers", metavar="HOST", help="name that stands for the addresses of all TorchServes")
    options.add_argument(
        "--inside",
        nargs=2,
        required=True,
        metavar=("NAME", "NETWORK"),
        help="the gateway's own name there, and the network of which its internal listener takes connections, as 172.30.77.0/24",
    )
    options.add_argument("--deployment", type=Path, default=paths.DEPLOYMENT, help="what is served (%(default)s)")
    options.add_argument("--gateway", type=Path, default=paths.GATEWAY_CONFIG, help="the gateway's settings (%(default)s)")
    options.add_argument("--state", type=Path, default=State().folder, help="folder of what is remembered (%(default)s)")
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = parser()
    given = options.parse_args(argv)
    try:
        ipaddress.IPv4Network(given.inside[1])
    except ValueError:
        options.error(f"--inside: a network is required, such as 172.30.77.0/24; found {given.inside[1]!r}")
    return run(lambda: _write(given))


def _write(options: argparse.Namespace) -> int:
    state, settings = State(options.state.resolve()), read_gateway_settings(options.gateway)
    keys = read_keys(keys_file(settings.keys, os.environ, paths.ROOT), os.environ)
    stands = standing(read_deployment(options.deployment), state)
    for note in stands.notes:
        step(note)
    stands.remember(state)
    Gateway(state).write(stands.deployment, _place(options), settings, keys)
    tell_split(state, stands.deployment)
    out.print(f"wrote {state.gateway}", markup=False)
    return 0


def _place(options: argparse.Namespace) -> Place:
    ports, (name, network) = read_ports(), options.inside
    return Place(
        callers=Address(EVERYWHERE, ports.gateway_port),
        internal=Address(name, ports.gateway_internal_port),
        inference=Address(options.servers, ports.inference_port),
        management=Address(options.servers, ports.management_port),
        grpc=Address(options.servers, ports.grpc_inference_port),
        has_replicas=True,
        network=network,
    )


if __name__ == "__main__":
    sys.exit(main())
