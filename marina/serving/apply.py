"""Make what runs what the deployment says: look, compare, carry out step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from filelock import Timeout

from marina.console import err, step
from marina.errors import MarinaError
from marina.paths import State
from marina.remembering import lock_beside
from marina.serving.applied import Applied, Memory
from marina.serving.deployment import Deployment, Wanted
from marina.serving.differences import Differences, Expected, Observed, Rules, Step, differences
from marina.serving.identity import identity
from marina.serving.polling import wait_for
from marina.serving.service import GONE_SECONDS, Server, bring_into_service, check_sample, take_out_of_service, wait_until_ready
from marina.store.index import find_entry, read_index


@dataclass(frozen=True)
class House:
    """What a deployment is applied to.

    Attributes:
        server: TorchServe.
        state: where is remembered what was applied, and what is live.
        tick: called at each look while something is waited for; what it raises ends the wait.
    """

    server: Server
    state: State
    tick: Callable[[], None] = lambda: None


def look(house: House, deployment: Deployment, rules: Rules) -> Differences:
    """What is to be done so that what runs is what the deployment says.

    Args:
        house: where it is to run.
        deployment: with the weights that stand.
        rules: what is allowed.

    Raises:
        MarinaError: a version was not built, or an API does not answer.
    """
    expected = [_expected(house.server, wanted) for wanted in deployment.versions()]
    return differences(deployment, expected, _observed(house, expected), Memory(house.state).read(), rules)


def carry_out(house: House, deployment: Deployment, steps: list[Step], tell: Callable[[str], None] = step) -> None:
    """Take steps one after the other.

    Args:
        house: where it is to run.
        deployment: with the weights that stand.
        steps: from ``look``.
        tell: is told each step before it is taken.

    Raises:
        MarinaError: a step failed; those before it stand, and an apply from there does the rest.
    """
    worker = _Worker(house, deployment)
    for one in steps:
        house.tick()
        tell(one.text)
        worker.take(one)
    worker.remember_all()


@contextmanager
def alone(state: State) -> Iterator[None]:
    """Be the only apply on a state.

    Raises:
        MarinaError: another is at work.
    """
    lock = lock_beside(state.folder / "apply")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise MarinaError("another apply is at work on this state: let it finish, or end it; what it did stays") from error
    try:
        yield
    finally:
        lock.release()


def _expected(server: Server, wanted: Wanted) -> Expected:
    entry = find_entry(server.store, wanted.built_as, wanted.name)
    settings, built = wanted.settings, entry.serving
    return Expected(
        wanted,
        entry.archive,
        settings.workers or built.workers,
        settings.batch_size or built.batch_size,
        settings.max_batch_delay_ms or built.max_batch_delay_ms,
    )


def _observed(house: House, expected: list[Expected]) -> Observed:
    management, index = house.server.management, read_index(house.server.store)
    versions = management.all_versions()
    found = ((one, versions.get(one.wanted.model, {}).get(one.name)) for one in expected)
    others = {
        (running.model, running.version) for _, running in found if running and identity(management, running, index) == "differs"
    }
    return Observed(versions, {model: management.default_version(model) for model in versions}, frozenset(others))


class _Worker:
    """Takes steps."""

    def __init__(self, house: House, deployment: Deployment) -> None:
        self._house = house
        self._server = house.server
        self._deployment = deployment
        self._memory = Memory(house.state)
        self._wanted = {(one.model, one.name): one for one in deployment.versions()}

    def take(self, one: Step) -> None:
        actions: dict[str, Callable[[Step], None]] = {
            "register": self._register,
            "prove": self._prove,
            "scale": self._scale,
            "default": lambda step: self._server.management.set_default(step.model, str(step.version)),
            "unregister": self._unregister,
        }
        actions[one.action](one)

    def remember_all(self) -> None:
        """What runs and is in the deployment is the deployment's from now on, whoever registered it."""
        applied = self._memory.read()
        missing = [one for one in self._wanted if one[1] not in applied.versions.get(one[0], [])]
        if missing:
            self._memory.change(lambda now: _with_all(now, missing))

    def _register(self, one: Step) -> None:
        wanted = self._wanted[one.model, str(one.version)]
        self._memory.change(lambda now: now.began(wanted.model, wanted.name))
        with err.status(f"{wanted}: waiting for its workers"):
            bring_into_service(self._server, wanted, self._house.tick)
        self._proved(wanted)

    def _prove(self, one: Step) -> None:
        wanted = self._wanted[one.model, str(one.version)]
        with err.status(f"{wanted}: waiting for its workers"):
            wait_until_ready(self._server, wanted.model, wanted.name, self._house.tick)
        check_sample(self._server, wanted.model, wanted.name, find_entry(self._server.store, wanted.built_as, wanted.name))
        self._proved(wanted)

    def _proved(self, wanted: Wanted) -> None:
        self._memory.change(lambda now: now.proved(wanted.model, wanted.name))
        step(f"{wanted}: READY, and answers its sample")

    def _scale(self, one: Step) -> None:
        version, workers = str(one.version), one.workers or 1
        self._server.management.scale(one.model, version, workers)

        def is_so() -> bool:
            self._house.tick()
            running = self._server.management.versions(one.model)[version]
            return running.wanted_workers == workers == len(running.workers)

        if not wait_for(is_so, GONE_SECONDS):
            raise MarinaError(f"{one.model} {version}: not {workers} workers within {GONE_SECONDS} s")
        wait_until_ready(self._server, one.model, version, self._house.tick)

    def _unregister(self, one: Step) -> None:
        take_out_of_service(self._server, one.model, str(one.version))
        self._memory.change(lambda now: now.forgot(one.model, str(one.version)))


def _with_all(applied: Applied, versions: list[tuple[str, str]]) -> Applied:
    for model, version in versions:
        applied = applied.proved(model, version)
    return applied
