"""Bring a version into service: registered, every worker READY, its sample answered rightly; else taken back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from marina.comparing.split import Split
from marina.errors import MarinaError
from marina.paths import Store
from marina.serving.deployment import Wanted
from marina.serving.inference import Inference
from marina.serving.management import Management, Refused, Running
from marina.serving.polling import wait_for
from marina.store.contents import look_into
from marina.store.index import Entry, find_entry, verified_archive
from marina.store.samples import best_label, sample_of_entry

LOAD_SECONDS = 180
GONE_SECONDS = 60


@dataclass(frozen=True)
class Server:
    """A running TorchServe by its APIs, and the store that its archives come from."""

    management: Management
    inference: Inference
    store: Store


def bring_into_service(server: Server, wanted: Wanted, tick: Callable[[], None] = lambda: None) -> None:
    """Register a version of the store and see that it answers.

    Args:
        server: where.
        wanted: which.
        tick: called at each look while waiting; what it raises ends the wait.

    Raises:
        MarinaError: it was not built, is not what was built, or does not come into service; it is taken back then.
    """
    entry = find_entry(server.store, wanted.built_as, wanted.name)
    look_into(verified_archive(server.store, entry), wanted.built_as, wanted.name)
    workers = wanted.settings.workers or entry.serving.workers
    server.management.register(entry.archive, wanted, workers)
    try:
        if server.management.versions(wanted.model)[wanted.name].wanted_workers != workers:
            server.management.scale(wanted.model, wanted.name, workers)  # it took the archive's number
        wait_until_ready(server, wanted.model, wanted.name, tick)
        check_sample(server, wanted.model, wanted.name, entry)
    except MarinaError:
        with contextlib.suppress(MarinaError):
            take_out_of_service(server, wanted.model, wanted.name)
        raise


def wait_until_ready(server: Server, model: str, version: str, tick: Callable[[], None] = lambda: None) -> None:
    """Wait until every worker of a version is READY.

    Raises:
        MarinaError: a worker dies, or they take longer than LOAD_SECONDS.
    """
    processes: dict[str, int] = {}

    def ready() -> Running | None:
        tick()
        running = server.management.versions(model)[version]
        started = {worker.id: worker.pid for worker in running.workers if worker.pid > 0}
        if any(processes.setdefault(number, pid) != pid for number, pid in started.items()):  # TorchServe tries again
            raise MarinaError(f"{model} {version}: its worker died while it loaded; the server's log has the reason")
        return running if running.is_ready else None

    if wait_for(ready, LOAD_SECONDS) is None:
        raise MarinaError(f"{model} {version}: not READY within {LOAD_SECONDS} s; the server's log has the reason")


def take_out_of_service(server: Server, model: str, version: str) -> None:
    """Unregister a version, and wait until it is gone: TorchServe answers before it is.

    Raises:
        MarinaError: TorchServe refuses, or it is still there after GONE_SECONDS.
    """
    server.management.unregister(model, version)
    if not wait_for(lambda: version not in server.management.all_versions().get(model, {}), GONE_SECONDS):
        raise MarinaError(f"{model} {version}: still registered {GONE_SECONDS} s after it was unregistered")


def check_sample(server: Server, model: str, version: str, entry: Entry) -> None:
    """Ask a version its archive's sample.

    Raises:
        MarinaError: the answer is no answer, another version's, or wrong.
    """
    request, label = sample_of_entry(server.store, entry)
    answer = server.inference.ask(model, request, version)
    if answer.error is not None:
        raise MarinaError(f"{model} {version} does not answer its sample: {answer.status}: {answer.error}")
    if answer.version != version and not (entry.is_adopted and answer.version is None):  # handlers of others do not say it
        raise MarinaError(f"{model} {version} was asked, {answer.version or 'no version'} answered")
    best = best_label(answer.body)
    if label is not None and entry.weights.source != "random" and best != label:
        raise MarinaError(f"{model} {version} answers its sample with {best!r}; required {label!r}")


def require_ready_arms(management: Management, model: str, split: Split) -> None:
    """See that no arm gets weight without READY workers.

    Raises:
        MarinaError: one would.
    """
    running = management.versions(model)
    for version, weight in split.weights.items():
        if weight and (version not in running or not running[version].ready_workers):
            raise MarinaError(f"{model} {version} has no READY worker: it cannot get {weight:g} % of the requests")


def find_running(server: Server, model: str, version: str) -> Running:
    """A version that is registered.

    Raises:
        MarinaError: it is not; the message says what is.
    """
    try:
        versions = server.management.versions(model)
    except Refused as error:
        known = ", ".join(server.management.models()) or "none"
        raise MarinaError(f"no model '{model}' is registered; registered: {known}") from error
    if version not in versions:
        raise MarinaError(f"{model} {version} is not registered; registered: {', '.join(versions)}")
    return versions[version]
