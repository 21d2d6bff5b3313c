"""The options by which a script finds a gateway, the same for every script that asks one."""

from __future__ import annotations

import argparse
from pathlib import Path

from marina.gateway.gateway import Gateway
from marina.paths import State


def add_gateway(options: argparse.ArgumentParser) -> None:
    """Add the state's folder, and the address of the gateway in it where that is another than its files say."""
    options.add_argument("--state", type=Path, default=State().folder, help="folder of what is remembered (%(default)s)")
    options.add_argument("--gateway", metavar="URL", help="the gateway's internal listener (where its files in --state say)")


def gateway_of(options: argparse.Namespace) -> Gateway:
    """The gateway that the options name; nothing is asked yet."""
    return Gateway(State(options.state), options.gateway)
