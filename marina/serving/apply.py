"""Make what runs what the deployment says: look, compare, carry out step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from filelock import Timeout

from marina.comparing.live import Standing
from marina.comparing.split import Split
from marina.comparing.telling import tell_traffic
from marina.console import err, step
from marina.errors import MarinaError
from marina.gateway.gateway import Gateway
from marina.paths import State
from marina.remembering import lock_beside
from marina.serving.applied import Applied, Memory
from marina.serving.deployment import Deployment, Wanted
from marina.serving.differences import Differences, Expected, Observed, Rules, Step, differences, unlike
from marina.serving.identity import identity
from marina.serving.polling import wait_for
from marina.serving.service import (
    GONE_SECONDS,
    Server,
    bring_into_service,
    check_sample,
    require_ready_arms,
    take_out_of_service,
    wait_until_ready,
)
from marina.store.index import find_entry, read_index

DRAIN_SECONDS = 30
OF_THE_GATEWAY = ("split", "gateway")


@dataclass(frozen=True)
class House:
    """What a deployment is applied to.

    Attributes:
        server: TorchServe.
        gateway: in front of it, where there is one.
        state: where is remembered what was applied, and what is live.
        tick: called at each look while something is waited for; what it raises ends the wait.
    """

    server: Server
    state: State
    gateway: Gateway | None = None
    tick: Callable[[], None] = lambda: None


def look(house: House, stands: Standing, rules: Rules) -> Differences:
    """What is to be done so that what runs is what should.

    Args:
        house: where it is to run.
        stands: what should.
        rules: what is allowed.

    Raises:
        MarinaError: a version was not built, or an API does not answer.
    """
    expected = [_expected(house.server, wanted) for wanted in stands.deployment.versions()]
    observed = _observed(house, stands.deployment, expected)
    return differences(stands.deployment, expected, observed, Memory(house.state).read(), rules)


def carry_out(house: House, stands: Standing, steps: list[Step], tell: Callable[[str], None] = step) -> None:
    """Take steps one after the other.

    Args:
        house: where it is to run.
        stands: what should run.
        steps: from ``look``.
        tell: is told each step before it is taken.

    Raises:
        MarinaError: a step failed; those before it stand, and an apply from there does the rest.
    """
    worker = _Worker(house, stands)
    for one in steps:
        house.tick()
        tell(one.text)
        worker.take(one)
    worker.remember_all()


def require_one_server(house: House, steps: list[Step]) -> None:
    """See that no step would change one of several TorchServes, and leave the others as they are.

    Raises:
        MarinaError: one would.
    """
    changes = [one.text for one in steps if one.action not in OF_THE_GATEWAY]
    if changes and house.gateway is not None and house.gateway.has_replicas():
        raise MarinaError(
            f"several TorchServes stand behind the gateway, and this would reach one: {'; '.join(changes)}: change it where "
            "they are started, wait until all are replaced, and apply again"
        )


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


def _observed(house: House, deployment: Deployment, expected: list[Expected]) -> Observed:
    management, index = house.server.management, read_index(house.server.store)
    versions = management.all_versions()
    found = ((one, versions.get(one.wanted.model, {}).get(one.name)) for one in expected)
    others = {
        (running.model, running.version) for _, running in found if running and identity(management, running, index) == "differs"
    }
    defaults = {model: management.default_version(model) for model in versions}
    if house.gateway is None:
        return Observed(versions, defaults, frozenset(others))
    splits, told = _told(house.gateway, deployment)
    return Observed(versions, defaults, frozenset(others), splits, told)


def _told(gateway: Gateway, deployment: Deployment) -> tuple[dict[str, Split], tuple[str, ...]]:
    """What a gateway has, and what it has otherwise than it should, beside weights."""
    has = gateway.deployment()
    told = unlike(has, deployment)
    try:
        return gateway.splits(), tuple(told)
    except MarinaError:
        if not gateway.stats.answers():
            raise
    splits = {model: one.split for model, one in has.models.items() if one.split}
    return splits, ("a change was stopped halfway: tell it all again", *told)


class _Worker:
    """Takes steps."""

    def __init__(self, house: House, stands: Standing) -> None:
        self._house = house
        self._server = house.server
        self._stands = stands
        self._memory = Memory(house.state)
        self._wanted = {(one.model, one.name): one for one in stands.deployment.versions()}

    def take(self, one: Step) -> None:
        actions: dict[str, Callable[[Step], None]] = {
            "register": self._register,
            "prove": self._prove,
            "scale": self._scale,
            "default": lambda step: self._server.management.set_default(step.model, str(step.version)),
            "split": self._split,
            "gateway": lambda _: self._tell_all(),
            "unregister": self._unregister,
        }
        actions[one.action](one)

    def remember_all(self) -> None:
        """What runs and is in the deployment is the deployment's from now on, whoever registered it."""
        applied = self._memory.read()
        missing = [one for one in self._wanted if one[1] not in applied.versions.get(one[0], [])]
        if missing:
            self._memory.change(lambda now: _with_all(now, missing))
        if self._house.gateway:
            self._stands.remember(self._house.state)

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

    def _split(self, one: Step) -> None:
        split = self._stands.deployment.models[one.model].split
        if self._house.gateway is None or split is None:
            return
        shared = split.model_copy(update={"weights": one.weights})
        require_ready_arms(self._server.management, one.model, shared)
        self._house.gateway.set_split(one.model, shared)

    def _tell_all(self) -> None:
        if self._house.gateway is None:
            return
        for model, deployed in self._stands.deployment.models.items():
            if deployed.split:
                require_ready_arms(self._server.management, model, deployed.split)
        before, _ = _told(self._house.gateway, self._stands.deployment)
        self._stands.remember(self._house.state)
        self._house.gateway.apply(self._stands.deployment)
        for model, deployed in self._stands.deployment.models.items():
            if deployed.split and (model not in before or not deployed.split.is_as(before[model])):
                tell_traffic(self._house.state, model, deployed.split, "deployment", f"applied: {deployed.split}")

    def _unregister(self, one: Step) -> None:
        self._drain(one.model, str(one.version))
        take_out_of_service(self._server, one.model, str(one.version))
        self._memory.change(lambda now: now.forgot(one.model, str(one.version)))

    def _drain(self, model: str, version: str) -> None:
        """Wait for the requests that it works on: TorchServe drops them."""
        gateway = self._house.gateway
        if gateway is not None and not wait_for(lambda: gateway.in_flight(model, version) == 0, DRAIN_SECONDS):
            step(f"{model} {version}: still at work {DRAIN_SECONDS} s after its weight went: not waited for any longer")


def _with_all(applied: Applied, versions: list[tuple[str, str]]) -> Applied:
    for model, version in versions:
        applied = applied.proved(model, version)
    return applied
