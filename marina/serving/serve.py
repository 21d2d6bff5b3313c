"""Serve a deployment on this machine: check, build, start, bring into service, watch, stop."""

from __future__ import annotations

import re
import shlex
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from marina import paths
from marina.console import err, out, step
from marina.errors import MarinaError
from marina.paths import Store
from marina.serving.deployment import Deployment, Wanted
from marina.serving.inference import Inference
from marina.serving.management import Management
from marina.serving.polling import wait_for
from marina.serving.ports import Ports, require_free
from marina.serving.process import TorchServe
from marina.serving.properties import effective_properties
from marina.serving.service import Server, bring_into_service
from marina.serving.watch import Watch
from marina.store.build import ensure, entry_without_spec
from marina.store.index import Entry, verified_archive
from marina.store.samples import sample_of_entry
from marina.store.spec import find_spec, spec_path

START_SECONDS = 90
LOOK_SECONDS = 1.0
EVERYWHERE = "0.0.0.0"  # noqa: S104 - compared with, and listened on only where the person asks
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
REASON = re.compile(r"MODEL_LOG - ((?:\w+\.)*\w+(?:Error|Exception): .*)")


class Stopped(Exception):
    """The person, or the system, asked us to stop."""


@dataclass(frozen=True)
class Plan:
    """What is to be served, and where."""

    deployment: Deployment
    store: Store
    ports: Ports
    address: str
    logs: Path
    config: Path = paths.SERVER_CONFIG

    @property
    def reached_at(self) -> str:
        """The address by which this machine reaches the server."""
        return "127.0.0.1" if self.address == EVERYWHERE else self.address


def serve(plan: Plan) -> int:
    """Serve until a signal asks us to stop; returns the exit code.

    Raises:
        MarinaError: something is not as it must be; nothing is left running then.
    """
    require_free(plan.ports, plan.address)
    entries = _built(plan)
    with _stop_signals() as stopping, TorchServe(_properties(plan), plan.logs) as torchserve:
        try:
            server = _start(plan, torchserve, stopping)
            _bring_all_into_service(plan, server, torchserve, stopping)
            _show(plan, entries)
            _watch(server.management, torchserve, stopping)
        except Stopped:
            step("stopping")
        except MarinaError as error:
            raise _with_reason(error, torchserve) from error
    step("stopped")
    return 0


def _built(plan: Plan) -> dict[Wanted, Entry]:
    """The entries of all wanted versions, built where they are missing, their digests compared."""
    entries = {}
    for wanted in plan.deployment.versions():
        entries[wanted] = _entry(plan, wanted)
        verified_archive(plan.store, entries[wanted])
    return entries


def _entry(plan: Plan, wanted: Wanted) -> Entry:
    taken = None if wanted.spec else entry_without_spec(wanted.built_as, wanted.name, plan.store)
    return taken or ensure(find_spec(wanted.spec or wanted.built_as), wanted.name, plan.store)


def _properties(plan: Plan) -> str:
    return effective_properties(plan.config, plan.ports, plan.address, plan.store)


def _start(plan: Plan, torchserve: TorchServe, stopping: threading.Event) -> Server:
    management = Management(f"http://{plan.reached_at}:{plan.ports.management_port}")

    def answers() -> bool:
        _check(torchserve, stopping)
        return management.answers()

    with err.status("starting TorchServe"):
        if not wait_for(answers, START_SECONDS):
            raise MarinaError(f"TorchServe did not answer within {START_SECONDS} s")
    step("TorchServe answers")
    return Server(management, Inference(f"http://{plan.reached_at}:{plan.ports.inference_port}"), plan.store)


def _bring_all_into_service(plan: Plan, server: Server, torchserve: TorchServe, stopping: threading.Event) -> None:
    for wanted in plan.deployment.versions():
        with err.status(f"{wanted}: waiting for its workers"):
            bring_into_service(server, wanted, lambda: _check(torchserve, stopping))
        step(f"{wanted}: READY, and answers its sample")


def _watch(management: Management, torchserve: TorchServe, stopping: threading.Event) -> None:
    watch = Watch(management)
    watch.look()
    while not stopping.wait(LOOK_SECONDS):
        _check(torchserve, stopping)
        for change in watch.look():
            step(f"{time.strftime('%H:%M:%S')}  {change}")
    raise Stopped


def _check(torchserve: TorchServe, stopping: threading.Event) -> None:
    if stopping.is_set():
        raise Stopped
    if not torchserve.is_running:
        raise MarinaError("TorchServe has ended")


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """Turn the signals that end a program into an event, so that none of them comes between start and stop."""
    stopping = threading.Event()
    before = {number: signal.signal(number, lambda *_: stopping.set()) for number in STOP_SIGNALS}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _with_reason(error: MarinaError, torchserve: TorchServe) -> MarinaError:
    """The error, with the first exception that a worker logged, else with the end of the server's log."""
    for line in torchserve.log_tail(lines=10_000, containing="MODEL_LOG"):
        if found := REASON.search(line):
            return MarinaError(f"{error}: {found[1]} (log: {torchserve.logs})")
    return MarinaError("\n".join([f"{error}; the end of its log ({torchserve.logs}):", *torchserve.log_tail()]))


def _show(plan: Plan, entries: dict[Wanted, Entry]) -> None:
    """Say what is served where, and how to ask it."""
    table = Table("model", "version", "", "runtime", "workers", "accuracy", box=None, pad_edge=False)
    for wanted, entry in entries.items():
        accuracy = f"{entry.accuracy} held-out requests" if entry.accuracy else "not measured"
        if entry.weights.source == "random":
            accuracy = "random weights"
        workers = str(wanted.settings.workers or entry.serving.workers)
        table.add_row(wanted.model, wanted.name, "default" * wanted.is_default, entry.runtime, workers, accuracy)
    first, *rest = entries
    last = rest[-1] if rest else first
    sample, of_last = (_sample_path(plan, wanted, entries[wanted]) for wanted in (first, last))
    host, ports = plan.reached_at, plan.ports
    out.print(table)
    out.print(
        f"\ninference   http://{host}:{ports.inference_port}\n"
        f"management  http://{host}:{ports.management_port}\n"
        f"metrics     http://{host}:{ports.metrics_port}\n"
        f"logs        {plan.logs}\n\n"
        "Ask it, from another terminal:\n"
        f"  curl http://{host}:{ports.inference_port}/predictions/{first.model} -T {sample}\n"
        f"  curl http://{host}:{ports.inference_port}/explanations/{last.model}/{last.name} -T {of_last}\n"
        f"  curl http://{host}:{ports.metrics_port}/metrics\n\n"
        "Ctrl-C stops it.",
        markup=False,
    )


def _sample_path(plan: Plan, wanted: Wanted, entry: Entry) -> str:
    """The sample beside the spec; where there is none, the one that the archive is tried with, put beside the logs."""
    known = wanted.spec is not None or (spec_path(wanted.built_as).is_file() and not entry.is_adopted)
    found = find_spec(wanted.spec or wanted.built_as) if known else None
    if found and found.spec.sample:
        path = found.beside(found.spec.sample.request)
    else:
        path = plan.logs / f"{wanted.model}-{wanted.name}-{Path(entry.sample.request).name}"
        path.write_bytes(sample_of_entry(plan.store, entry)[0])
    return shlex.quote(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))
