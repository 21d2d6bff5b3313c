"""Tell Prometheus what TorchServe does not: workers, restarts, queues, splits, objectives, certificates; until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from marina import paths
from marina.console import run, step
from marina.gateway.options import add_gateway, gateway_of
from marina.paths import State
from marina.serving.access import checked_file
from marina.serving.access_options import access_of, add_access
from marina.serving.deployment import read_deployment
from marina.serving.management import Management
from marina.serving.ports import read_ports
from marina.watching.exporter import export
from marina.watching.replicas import Replicas
from marina.watching.sources import Certificates, LiveSplits, Rollouts, Server, Source, WrittenDeployment

LOOPBACK = "127.0.0.1"


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(
        description=__doc__, epilog="It listens on EXPORTER_PORT. docs/watching.md has the metrics."
    )
    ports = read_ports()
    add_access(options, ports, inference=False)
    options.add_argument("--deployment", type=Path, default=paths.DEPLOYMENT, help="whose objectives are told (%(default)s)")
    options.add_argument(
        "--certificate",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help=f"PEM file whose end is told; may be given again (those in {paths.CERTIFICATES})",
    )
    add_gateway(options)
    options.add_argument(
        "--replicas",
        action="store_true",
        help="the name in --management stands for several TorchServes: what they say is added up",
    )
    options.add_argument("--no-gateway", action="store_true", help="there is none: tell nothing of splits")
    options.add_argument("--address", default=LOOPBACK, help="address to listen on (%(default)s)")
    options.add_argument("--seconds", type=_seconds, default=2.0, metavar="N", help="between two looks (%(default)s)")
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: _export(parser().parse_args(argv)))


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.5 <= value <= 60:
        raise argparse.ArgumentTypeError(f"required a number of seconds from 0.5 to 60, found {text!r}")
    return value


def _export(options: argparse.Namespace) -> int:
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stopping.set())
    export(_sources(options), options.seconds, options.address, read_ports().exporter_port, stopping)
    step("stopped")
    return 0


def _sources(options: argparse.Namespace) -> list[Source]:
    read_deployment(options.deployment)  # a mistake in it ends the start; one that is made later is told as a source that is down
    named = [checked_file(file, "--certificate") or file for file in options.certificate]
    state = State(options.state)
    arms = [] if options.no_gateway else [LiveSplits(gateway_of(options)), Rollouts(state)]
    return [
        _server(options),
        WrittenDeployment(options.deployment),
        *arms,
        Certificates(named, None if named else paths.CERTIFICATES),
    ]


def _server(options: argparse.Namespace) -> Source:
    access = access_of(options)
    if options.replicas:
        return Replicas(options.management, lambda url: Server(Management(url, access)))
    return Server(Management(options.management, access))


if __name__ == "__main__":
    sys.exit(main())
