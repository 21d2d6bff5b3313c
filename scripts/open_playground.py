"""Open a page in the browser: drop an image, see every arm's answer and explanation, and which arm one would get."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from marina import paths
from marina.console import run
from marina.errors import MarinaError
from marina.gateway.options import add_gateway, gateway_of
from marina.playground.arms import House
from marina.serving.access_options import access_of, add_access
from marina.serving.inference import Inference
from marina.serving.management import Management
from marina.serving.ports import read_ports

PICTURES = (".png", ".jpg", ".jpeg", ".webp")


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    ports = read_ports()
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--ask", default=f"http://127.0.0.1:{ports.gateway_port}", metavar="URL", help="(%(default)s)")
    add_gateway(options)
    options.add_argument("--port", type=int, default=7860, help="where the page is served, on this machine alone (%(default)s)")
    add_access(options, ports, inference=False)
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: _open(parser().parse_args(argv)))


def _open(options: argparse.Namespace) -> int:
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when Gradio is imported
    try:
        from marina.playground.page import launch
    except ModuleNotFoundError as error:
        raise MarinaError(f"{error.name} is not installed here: start the page with `make playground`") from error
    access = access_of(options)
    house = House(Management(options.management, access), Inference(options.ask, access), gateway_of(options).splits)
    models = house.models()  # a server that does not answer is said here, not on the page
    launch(house, _examples(models), options.port)
    return 0


def _examples(models: list[str]) -> list[Path]:
    """The pictures that these models' specs have as samples."""
    return [path for model in models for path in sorted((paths.SPECS / model).glob("*")) if path.suffix in PICTURES]


if __name__ == "__main__":
    sys.exit(main())
