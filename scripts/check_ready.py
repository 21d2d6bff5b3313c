"""Exit with 0 when every version of the deployment has all its workers READY: for health checks and deploy scripts."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from marina import paths
from marina.console import run, step
from marina.errors import MarinaError
from marina.serving.access_options import access_of, add_access
from marina.serving.deployment import read_deployment
from marina.serving.management import Management
from marina.serving.ports import read_ports


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--deployment", type=Path, default=paths.DEPLOYMENT, help="(%(default)s)")
    add_access(options, read_ports(), inference=False)
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: _check(parser().parse_args(argv)))


def _check(options: argparse.Namespace) -> int:
    management = Management(options.management, access_of(options))
    registered = management.all_versions()
    for wanted in read_deployment(options.deployment).versions():
        running = registered.get(wanted.model, {}).get(wanted.name)
        if running is None:
            raise MarinaError(f"{wanted} is not registered")
        if not running.is_ready:
            ready = sum(worker.is_ready for worker in running.workers)
            raise MarinaError(f"{wanted}: {ready} of {running.wanted_workers} workers are READY")
        step(f"{wanted}: READY")
    return 0


if __name__ == "__main__":
    sys.exit(main())
