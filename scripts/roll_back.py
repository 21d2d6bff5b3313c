"""Share requests as before the last rollout of a model, at once; also while it runs, which it then ends."""

from __future__ import annotations

import argparse
import sys

from marina.comparing.moves import Controls, roll_back
from marina.console import out, run
from marina.gateway.options import add_gateway, gateway_of
from marina.paths import State
from marina.serving.access_options import access_of, add_access
from marina.serving.management import Management
from marina.serving.ports import read_ports


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("model", help="its name")
    options.add_argument("--reason", default="asked for by roll_back.py", metavar="TEXT", help="for the record (%(default)s)")
    ports = read_ports()
    add_access(options, ports, inference=False)
    add_gateway(options)
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: _roll_back(parser().parse_args(argv)))


def _roll_back(options: argparse.Namespace) -> int:
    state = State(options.state.resolve())
    controls = Controls(state, gateway_of(options), Management(options.management, access_of(options)))
    back = roll_back(controls, options.model, options.reason)
    out.print(f"{back.model}: rolled back to {back.before}: {back.reason}", markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
