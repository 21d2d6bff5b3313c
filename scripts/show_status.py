"""Show what a running server does, version by version: split, workers, rate, errors, latency, batches; until Ctrl-C."""

from __future__ import annotations

import argparse
import sys
from collections import deque
from dataclasses import asdict
from datetime import datetime

from rich.live import Live

from marina.console import out, run
from marina.errors import MarinaError
from marina.gateway.options import add_gateway, gateway_of
from marina.serving.access_options import access_of, add_access
from marina.serving.management import Management
from marina.serving.polling import pause
from marina.serving.ports import read_ports
from marina.serving.watch import Watch
from marina.watching.screen import screen, table
from marina.watching.status import Observer, VersionStatus

NOTES = 8
EPILOG = (
    "p50 and p99 are of the time that a batch takes in the handler; queue is the mean wait before it, also for the batch to "
    "fill; 4xx were the caller's mistakes, 5xx the server's; split is what the gateway has taken, lost are workers that were "
    "started anew. It needs no Prometheus: it reads the Metrics API twice."
)


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__, epilog=EPILOG)
    ports = read_ports()
    add_access(options, ports, inference=False)
    options.add_argument("--metrics", default=f"http://127.0.0.1:{ports.metrics_port}", metavar="URL", help="(%(default)s)")
    add_gateway(options)
    options.add_argument("--seconds", type=_seconds, default=2.0, metavar="N", help="that each look counts (%(default)s)")
    options.add_argument("--once", action="store_true", help="look once, and print the table, as where the output is no terminal")
    options.add_argument("--json", action="store_true", help="look once, and print JSON")
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: _show(parser().parse_args(argv)))


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1 <= value <= 3600:  # workers write their metrics once a second
        raise argparse.ArgumentTypeError(f"required a number of seconds from 1 to 3600, found {text!r}")
    return value


def _show(options: argparse.Namespace) -> int:
    access = access_of(options)
    management = Management(options.management, access)
    gateway = gateway_of(options)
    observer = Observer(management, options.metrics, access, options.seconds, gateway)
    if options.json:
        out.print_json(data={"seconds": options.seconds, "versions": [asdict(one) for one in observer.look()]})
    elif options.once or not out.is_terminal:
        out.print(table(observer.look()))
    else:
        _follow(observer, Watch(management), options)
    return 0


def _follow(observer: Observer, watch: Watch, options: argparse.Namespace) -> None:
    """Show one screen after the other; a server that goes away is waited for."""
    title = f"{options.management}, the last {options.seconds:g} s; Ctrl-C ends"
    notes = deque[str](maxlen=NOTES)
    versions: list[VersionStatus] | None = observer.look()
    watch.look()
    with Live(console=out, screen=True, auto_refresh=False) as live:
        while True:
            live.update(screen(title, versions, notes), refresh=True)
            try:
                versions, said = observer.look(), watch.look()
            except MarinaError as error:
                versions, said = None, [] if notes and notes[-1].endswith(str(error)) else [str(error)]
                pause(options.seconds)
            notes.extend(f"{datetime.now():%H:%M:%S} {one}" for one in said)


if __name__ == "__main__":
    sys.exit(main())
