"""Serve models by Flask while you write their handlers: no Java, reloaded when a file changes. Not for production."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from marina.console import run, step
from marina.errors import MarinaError, UsageError
from marina.paths import Store

PORT = 5000  # Flask's own


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "model", nargs="+", help="name or path of a spec, or name of a model of the store; /predict asks the first"
    )
    options.add_argument("--default", help="the version that answers where a request names none (the first of the spec)")
    options.add_argument("--as-built", action="store_true", help="serve the archives as they are, whatever the sources say now")
    options.add_argument("--store", type=Path, default=Store().folder, help="folder of the store (%(default)s)")
    options.add_argument("--port", type=int, default=PORT, help="on loopback; 0 takes a free one (%(default)s)")
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: _serve(parser().parse_args(argv)))


def _serve(options: argparse.Namespace) -> int:
    if not 0 <= options.port <= 65535:
        raise UsageError(f"--port must be 0 to 65535; found {options.port}")
    if options.default and len(options.model) > 1:
        raise UsageError("--default goes with one model; found several")
    try:
        import flask  # noqa: F401
    except ImportError as error:
        raise MarinaError("Flask is required: make setup installs it, or .venv/bin/pip install flask") from error
    step("loading torch")
    from marina.roads.flask_server import Models, serve
    from marina.roads.found import find_versions

    logging.basicConfig(level=logging.WARNING, format="%(message)s")  # tracebacks of handlers
    logging.getLogger("werkzeug").setLevel(logging.INFO)
    logging.getLogger("ts.torch_handler.base_handler").setLevel(logging.ERROR)  # says what it could import besides
    store = Store(options.store.resolve())
    served = dict(find_versions(name, store, options.default, options.as_built) for name in options.model)
    return serve(Models(served), options.port)


if __name__ == "__main__":
    sys.exit(main())
