"""Record which arm answered whom, and take outcomes, until Ctrl-C; `make serve` starts it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from marina.comparing.recorder import Keeping
from marina.comparing.recorder_server import LOOPBACK, RecorderPlan, record
from marina.comparing.traffic_options import add_record
from marina.comparing.traffic_settings import TrafficSettings
from marina.console import run
from marina.durations import seconds_of
from marina.paths import State
from marina.serving.ports import read_ports

EPILOG = "What is stored, for how long, and how a key is forgotten: docs/traffic.md."


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    ports, settings = read_ports(), TrafficSettings()
    options = argparse.ArgumentParser(description=__doc__, epilog=EPILOG)
    add_record(options)
    options.add_argument(
        "--keep",
        type=seconds_of,
        default=settings.traffic_keep,
        metavar="TIME",
        help="delete what is older, 12h or 90d (%(default)s)",
    )
    options.add_argument(
        "--sample",
        type=_share,
        default=settings.traffic_sample,
        metavar="SHARE",
        help="of the keys that are recorded (%(default)s)",
    )
    options.add_argument(
        "--rotate",
        type=seconds_of,
        default="1m",
        metavar="TIME",
        help="that keys lie in the access log as they came (%(default)s)",
    )
    options.add_argument("--address", default=LOOPBACK[0], help="to listen on; beyond loopback with --key-file (%(default)s)")
    options.add_argument("--port", type=int, default=ports.recorder_port, help="to listen on (%(default)s)")
    options.add_argument(
        "--key-file",
        type=Path,
        metavar="FILE",
        help="the key that callers give as Authorization: Bearer <key>; made where it is not there",
    )
    gateway = f"http://127.0.0.1:{ports.gateway_internal_port}"
    options.add_argument("--gateway", default=gateway, metavar="URL", help="internal address of the gateway (%(default)s)")
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: record(_plan(parser().parse_args(argv))))


def _plan(options: argparse.Namespace) -> RecorderPlan:
    return RecorderPlan(
        State(options.state.resolve()),
        options.database,
        Keeping(options.keep, options.sample, options.rotate),
        options.gateway.rstrip("/"),
        options.address,
        options.port,
        options.key_file,
    )


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"required a share above 0, at most 1; found {text!r}")
    return share


if __name__ == "__main__":
    sys.exit(main())
