"""Run Prometheus on this machine, with the rules of config/prometheus, on what make serve and the exporter say; until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from pathlib import Path

from ruamel.yaml import YAML

from marina import paths
from marina.console import out, run
from marina.errors import MarinaError
from marina.paths import State
from marina.serving.ports import read_ports
from marina.watching.prometheus import LOOPBACK, local_config

MISSING = "the program `{0}` is not on the path: install it (Debian: apt install prometheus), or name it with --program"


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(
        description=__doc__,
        epilog="It scrapes the ports of the environment or .env. What it stores is kept in --state, for as long as --keep says.",
    )
    options.add_argument(
        "--config", type=Path, default=paths.CONFIG / "prometheus" / "prometheus.yml", help="the compose stack's (%(default)s)"
    )
    options.add_argument("--state", type=Path, default=State().folder, help="folder for what it stores (%(default)s)")
    options.add_argument("--port", type=_port, default=9090, help="to listen on, on loopback (%(default)s)")
    options.add_argument("--keep", type=_time, default="15d", metavar="TIME", help="how long, as 15d or 12h (%(default)s)")
    options.add_argument("--program", default="prometheus", help="name or path (%(default)s)")
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: _run(parser().parse_args(argv)))


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"required a port, 1 to 65535, found {text!r}")
    return int(text)


def _time(text: str) -> str:
    if not re.fullmatch(r"[1-9]\d*[ywdhm]", text):
        raise argparse.ArgumentTypeError(f"required a number with y, w, d, h or m, as 15d, found {text!r}")
    return text


def _run(options: argparse.Namespace) -> int:
    config = local_config(options.config, read_ports(), options.port)
    program = shutil.which(options.program)
    if program is None:
        raise MarinaError(MISSING.format(options.program))
    folder = options.state.resolve() / "prometheus"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "prometheus.yml").open("w", encoding="utf-8") as file:
        YAML(typ="safe", pure=True).dump(config, file)
    out.print(
        f"prometheus  http://{LOOPBACK}:{options.port}\nconfig      {folder / 'prometheus.yml'}\n\nCtrl-C stops it.", markup=False
    )
    sys.stdout.flush()
    os.execv(  # noqa: S606 - from here on this process is Prometheus: its signals, its exit code
        program,
        [
            program,
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--storage.tsdb.retention.time={options.keep}",
            f"--web.listen-address={LOOPBACK}:{options.port}",
            "--log.level=warn",
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
