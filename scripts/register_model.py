"""Register, scale, set the default, unregister, list and describe models, over the Management API."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.table import Table

from marina.console import err, out, run, step
from marina.errors import UsageError
from marina.paths import Store
from marina.serving.access_options import access_of, add_access
from marina.serving.deployment import DeployedVersion, Wanted
from marina.serving.identity import entry_of, identity
from marina.serving.inference import Inference
from marina.serving.management import Management, Running
from marina.serving.ports import read_ports
from marina.serving.service import Server, bring_into_service, find_running, take_out_of_service, wait_until_ready
from marina.store.index import read_index


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__)
    ports = read_ports()
    add_access(options, ports)
    options.add_argument("--store", type=Path, default=Store().folder, help="folder of archives/ and index.json (%(default)s)")
    options.add_argument("--json", action="store_true", help="print results as JSON")
    commands = options.add_subparsers(dest="command", required=True, metavar="COMMAND")
    register = _command(commands, "register", _register, "serve a built version, and wait until it answers")
    register.add_argument("--workers", type=_positive, help="worker processes (as the spec says)")
    register.add_argument("--batch-size", type=_positive, help="largest batch (as the spec says)")
    register.add_argument("--max-batch-delay", type=_positive, metavar="MS", help="longest wait for a batch (as the spec says)")
    register.add_argument("--as", dest="name", help="serve it by another name, with workers of its own (the model's)")
    scale = _command(commands, "scale", _scale, "set how many workers a version has, and wait until they are READY")
    scale.add_argument("--workers", type=_positive, required=True, help="worker processes")
    _command(commands, "set-default", _set_default, "make a version answer where a request names none")
    _command(commands, "unregister", _unregister, "remove a version; the default can go last alone")
    commands.add_parser("list", help="what is registered").set_defaults(action=_list)
    _command(commands, "describe", _describe, "one version, as its worker describes it")
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: _act(parser().parse_args(argv)))


def _command(commands: Any, name: str, action: Callable[..., None], text: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    command.add_argument("model", help="its name")
    command.add_argument("version", help="for example 1.0")
    command.set_defaults(action=action)
    return command


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"required a number of 1 or more, found {text!r}")
    return int(text)


def _act(options: argparse.Namespace) -> int:
    access = access_of(options)
    store = Store(options.store.resolve())
    server = Server(Management(options.management, access), Inference(options.inference, access), store)
    options.action(server, options)
    return 0


def _register(server: Server, options: argparse.Namespace) -> None:
    settings = DeployedVersion(workers=options.workers, batch_size=options.batch_size, max_batch_delay_ms=options.max_batch_delay)
    wanted = Wanted(options.name or options.model, options.version, settings, of=options.model if options.name else None)
    with err.status(f"{wanted}: waiting for its workers"):
        bring_into_service(server, wanted)
    step(f"{wanted}: READY, and answers its sample")


def _scale(server: Server, options: argparse.Namespace) -> None:
    find_running(server, options.model, options.version)
    server.management.scale(options.model, options.version, options.workers)
    with err.status(f"{options.model} {options.version}: waiting for its workers"):
        wait_until_ready(server, options.model, options.version)
    step(f"{options.model} {options.version}: {options.workers} READY")


def _set_default(server: Server, options: argparse.Namespace) -> None:
    find_running(server, options.model, options.version)
    server.management.set_default(options.model, options.version)
    step(f"{options.model}: {options.version} is the default")


def _unregister(server: Server, options: argparse.Namespace) -> None:
    find_running(server, options.model, options.version)
    versions = server.management.versions(options.model)
    if len(versions) > 1 and server.management.default_version(options.model) == options.version:
        raise UsageError(
            f"{options.model} {options.version} is the default, and other versions are registered: make one of them the "
            f"default first: scripts/register_model.py set-default {options.model} <version>"
        )
    take_out_of_service(server, options.model, options.version)
    step(f"{options.model} {options.version}: unregistered")


def _list(server: Server, options: argparse.Namespace) -> None:
    index = read_index(server.store)
    every = [one for versions in server.management.all_versions().values() for one in versions.values()]
    rows = [_row(server, one) | {"store": identity(server.management, one, index)} for one in every]
    if options.json:
        out.print_json(data=rows)
        return
    columns = ("model", "version", "default", "workers", "ready", "batch size", "delay ms", "archive", "store")
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*("yes" if value is True else "" if value is False else str(value) for value in row.values()))
    out.print(table if rows else "no model is registered")
    for row in rows:
        if row["store"] == "differs":
            step(
                f"{row['model']} {row['version']}: what is served is not what the index has: unregister it, and register it again"
            )


def _row(server: Server, running: Running) -> dict[str, Any]:
    return {
        "model": running.model,
        "version": running.version,
        "default": server.management.default_version(running.model) == running.version,
        "workers": running.wanted_workers,
        "ready": running.ready_workers,
        "batch_size": running.batch_size,
        "max_batch_delay_ms": running.max_batch_delay_ms,
        "archive": running.archive,
    }


def _describe(server: Server, options: argparse.Namespace) -> None:
    find_running(server, options.model, options.version)
    running = server.management.describe(options.model, options.version)
    entry = entry_of(running, read_index(server.store))
    description = running.description if isinstance(running.description, dict) else {}
    same = None if entry is None or entry.content_sha256 is None else description.get("content_sha256") == entry.content_sha256
    document = _row(server, running) | {
        "is_what_the_store_has": same,
        "accuracy": entry.accuracy.model_dump() if entry and entry.accuracy else None,
        "workers_status": {worker.id: f"{worker.status} (pid {worker.pid})" for worker in running.workers},
        "handler": description,
    }
    out.print_json(data=document)


if __name__ == "__main__":
    sys.exit(main())
