"""What is to be done so that what runs is what the deployment says: a list of steps, in an order that leaves no gap.

A step can be the last one that is carried out: whatever runs then has weight on READY arms alone, and the differences to
that are the rest of the way. Nothing here talks to a server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from marina.comparing.split import Split
from marina.serving.applied import Applied
from marina.serving.deployment import DeployedModel, Deployment, Wanted
from marina.serving.management import Running

Action = Literal["register", "prove", "scale", "default", "split", "gateway", "unregister"]


@dataclass(frozen=True)
class Step:
    """One change.

    Attributes:
        action: what kind of change.
        text: the change, for people.
        version: whose; None of a change that is not of one version.
        weights: of a ``split`` step, percent by version.
        workers: of a ``scale`` step.
    """

    action: Action
    model: str
    text: str
    version: str | None = None
    weights: dict[str, float] | None = None
    workers: int | None = None


@dataclass(frozen=True)
class Expected:
    """How a wanted version should run: by the deployment, else by its entry in the index."""

    wanted: Wanted
    archive: str
    workers: int
    batch_size: int
    max_batch_delay_ms: int

    @property
    def name(self) -> str:
        """Its version."""
        return self.wanted.name

    def unlike(self, running: Running, *, is_another: bool) -> str | None:
        """Why it has to be registered again to be as it should, or None."""
        reasons = []
        if running.archive != self.archive:
            reasons.append(f"archive {running.archive} → {self.archive}")
        elif is_another:
            reasons.append("the archive was built anew")
        if running.batch_size != self.batch_size:
            reasons.append(f"batch size {running.batch_size} → {self.batch_size}")
        if running.max_batch_delay_ms != self.max_batch_delay_ms:
            reasons.append(f"delay {running.max_batch_delay_ms} → {self.max_batch_delay_ms} ms")
        return ", ".join(reasons) or None


@dataclass(frozen=True)
class Observed:
    """What runs.

    Attributes:
        versions: registered ones by model and version.
        defaults: by model.
        others: (model, version) whose worker loaded something else than the index has.
        splits: what the gateway has by model; None without a gateway.
        gateway: what the gateway has otherwise than it should, beside weights; empty where nothing.
    """

    versions: Mapping[str, Mapping[str, Running]] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    others: frozenset[tuple[str, str]] = frozenset()
    splits: Mapping[str, Split] | None = None
    gateway: tuple[str, ...] = ()


@dataclass(frozen=True)
class Differences:
    """What is to be done, what is only said, and what is refused."""

    steps: list[Step]
    notes: list[str]
    refused: list[str]


@dataclass(frozen=True)
class Rules:
    """What a person allows.

    Attributes:
        prune: unregister also what was registered by hand.
        allow_gap: register an arm again though no other arm can take its requests meanwhile.
        rolling: models of which a rollout is open, each with a sentence about it.
    """

    prune: bool = False
    allow_gap: bool = False
    rolling: Mapping[str, str] = field(default_factory=dict)


def differences(
    deployment: Deployment, expected: list[Expected], observed: Observed, applied: Applied, rules: Rules
) -> Differences:
    """Compare a deployment with what runs.

    Args:
        deployment: with the weights that stand.
        expected: its versions.
        observed: what runs.
        applied: what deployments have brought so far.
        rules: what is allowed.
    """
    found = Differences([], [], [])
    models = [
        _Model(name, deployed, [one for one in expected if one.wanted.model == name], observed, applied)
        for name, deployed in deployment.models.items()
    ]
    for model in models:
        found.steps.extend((*model.brought(), *model.scaled_up(), *model.replaced_idle(), *model.defaulted()))
    _share(models, observed, found, rules)
    for model in models:
        model.replace_busy(found, rules)
        found.steps.extend(model.scaled_down())
    _remove(deployment, observed, applied, found, rules)
    return found


class _Model:
    """One model of the deployment, as it is wanted and as it runs; ``_default`` follows the steps."""

    def __init__(
        self, name: str, deployed: DeployedModel, expected: list[Expected], observed: Observed, applied: Applied
    ) -> None:
        self.name = name
        self._deployed = deployed
        self._expected = expected
        self._running = observed.versions.get(name, {})
        self._default = self._default_before = observed.defaults.get(name)
        self._unproven = applied.unproven.get(name, [])
        self._others = {version for model, version in observed.others if model == name}
        self._live = observed.splits.get(name) if observed.splits is not None else None
        self._wanted = deployed.split if observed.splits is not None else None

    def brought(self) -> Iterator[Step]:
        """What is not there yet, or is there and was not seen to answer."""
        for one in self._expected:
            running = self._running.get(one.name)
            if running is None:
                yield self._register(one)
            elif self._unlike(one):
                continue
            elif one.name in self._unproven:
                yield Step("prove", self.name, f"{one.wanted}: see that it answers: an apply was stopped before", one.name)
            elif running.wanted_workers == one.workers and not running.is_ready:
                ready = f"{running.ready_workers} of {running.wanted_workers} are READY"
                yield Step("prove", self.name, f"{one.wanted}: wait for its workers: {ready}", one.name)

    def scaled_up(self) -> Iterator[Step]:
        """More workers."""
        yield from self._scaled(lambda now, wanted: now < wanted)

    def scaled_down(self) -> Iterator[Step]:
        """Fewer workers."""
        yield from self._scaled(lambda now, wanted: now > wanted)

    def replaced_idle(self) -> Iterator[Step]:
        """Versions that nobody is sent to, or that cannot answer, registered again."""
        for one, reason in self._replaced(busy=False):
            yield from self._again(one, reason, self._stand_in(one.name))

    def defaulted(self) -> Iterator[Step]:
        """The default, where another version has it."""
        if self._default not in (None, self._deployed.default):
            yield self._default_to(self._deployed.default)

    def moved(self) -> str | None:
        """The change of the split, or None."""
        if self._wanted is None or self._live is None or self._live.is_as(self._wanted):
            return None
        return f"{self.name} {self._live} → {self._wanted}"

    def replace_busy(self, found: Differences, rules: Rules) -> None:
        """Versions that answer requests, registered again while another answers them."""
        for one, reason in self._replaced(busy=True):
            stand_in = self._stand_in(one.name)
            if not self._keeps(one.name):
                found.steps.extend(self._again(one, reason, stand_in))
            elif stand_in is None and not rules.allow_gap:
                found.refused.append(
                    f"{one.wanted}: {reason}: this needs it registered again, and no other version of {self.name} is READY to "
                    "answer meanwhile: --allow-gap does it all the same, and requests are refused for some seconds"
                )
            elif self.name in rules.rolling:
                found.refused.append(f"{rules.rolling[self.name]}; until then {one.wanted} is not registered again: {reason}")
            elif stand_in and self._wanted:
                found.steps.append(self._split_to(_away(self._wanted.weights, one.name, stand_in)))
                found.steps.extend(self._again(one, reason, stand_in))
                found.steps.append(self._split_to(self._wanted.weights))
            else:
                found.steps.extend(self._again(one, reason, stand_in))

    def _unlike(self, one: Expected) -> str | None:
        """Why a version that runs has to be registered again, or None."""
        running = self._running.get(one.name)
        return one.unlike(running, is_another=one.name in self._others) if running else None

    def _replaced(self, *, busy: bool) -> Iterator[tuple[Expected, str]]:
        for one in self._expected:
            reason = self._unlike(one)
            if reason and busy == (self._carries(one.name) and self._running[one.name].ready_workers > 0):
                yield one, reason

    def _carries(self, version: str) -> bool:
        """Whether it answered requests that name no version before the first step."""
        return self._live.weights.get(version, 0) > 0 if self._live else version == self._default_before

    def _keeps(self, version: str) -> bool:
        """Whether it shall answer requests that name no version."""
        return self._wanted.weights.get(version, 0) > 0 if self._wanted else version == self._deployed.default

    def _stand_in(self, version: str) -> str | None:
        """A version that can answer in the place of another: one that is READY, or was brought before."""
        weights = self._wanted.weights if self._wanted else {}
        others = [one for one in self._deployed.versions if one != version]
        ready = [one for one in others if one not in self._running or self._running[one].is_ready]
        return max(ready, key=lambda one: weights.get(one, 0), default=None)

    def _again(self, one: Expected, reason: str, stand_in: str | None) -> Iterator[Step]:
        """Unregister and register a version; another is the default meanwhile, since TorchServe would refuse."""
        other = stand_in or next((version for version in self._running if version != one.name), None)
        is_moved = self._default == one.name and other is not None
        if is_moved and other:
            yield self._default_to(other)
        yield Step("unregister", self.name, f"{one.wanted}: unregister it, to register it again: {reason}", one.name)
        yield self._register(one)
        if is_moved and self._deployed.default == one.name:
            yield self._default_to(one.name)

    def _register(self, one: Expected) -> Step:
        text = f"{one.wanted}: register {one.archive}: workers {one.workers}, batch size {one.batch_size}"
        return Step("register", self.name, f"{text}, delay {one.max_batch_delay_ms} ms", one.name)

    def _default_to(self, version: str) -> Step:
        text = f"{self.name}: default {self._default} → {version}"
        self._default = version
        return Step("default", self.name, text, version)

    def _split_to(self, weights: dict[str, float]) -> Step:
        return Step("split", self.name, f"{self.name}: {Split(weights=weights)}", weights=weights)

    def _scaled(self, is_so: Callable[[int, int], bool]) -> Iterator[Step]:
        for one in self._expected:
            running = self._running.get(one.name)
            if running and not self._unlike(one) and is_so(running.wanted_workers, one.workers):
                text = f"{one.wanted}: workers {running.wanted_workers} → {one.workers}"
                yield Step("scale", self.name, text, one.name, workers=one.workers)


def _share(models: list[_Model], observed: Observed, found: Differences, rules: Rules) -> None:
    """All that the gateway is told: it takes the whole deployment at once."""
    moved = {model.name: text for model in models if (text := model.moved())}
    found.refused.extend(f"{rules.rolling[name]}; until then its split is not changed" for name in moved if name in rules.rolling)
    changes = [*moved.values(), *observed.gateway]
    if changes:
        found.steps.append(Step("gateway", "", f"gateway: {'; '.join(changes)}"))


def _remove(deployment: Deployment, observed: Observed, applied: Applied, found: Differences, rules: Rules) -> None:
    """What runs and is in no deployment: what one brought goes; what a person registered goes only where they say so."""
    for model, running in observed.versions.items():
        wanted = deployment.models[model].versions if model in deployment.models else {}
        unwanted = [version for version in running if version not in wanted]
        ours = [version for version in unwanted if rules.prune or version in applied.versions.get(model, [])]
        kept = [version for version in unwanted if version not in ours]
        found.notes.extend(f"{model} {version}: registered by hand, left as it is; --prune unregisters it" for version in kept)
        if ours and model in rules.rolling:
            found.refused.append(f"{rules.rolling[model]}; until then nothing of it is unregistered")
        default = observed.defaults.get(model)
        if not wanted and kept and default in ours:
            found.steps.append(Step("default", model, f"{model}: default {default} → {kept[0]}", kept[0]))
        for version in sorted(ours, key=lambda one: one == default):  # the default can go last alone
            found.steps.append(Step("unregister", model, f"{model} {version}: unregister it: not in the deployment", version))


def unlike(has: Deployment, wanted: Deployment) -> list[str]:
    """What a gateway has otherwise than a deployment says, beside weights: a few words for each."""
    found = [f"{model} is new" for model in wanted.models if model not in has.models]
    found += [f"{model} goes" for model in has.models if model not in wanted.models]
    for model in [model for model in wanted.models if model in has.models]:
        before, after = _routed(has.models[model]), _routed(wanted.models[model])
        found += [f"{model}: {name} {before[name]} → {after[name]}" for name in after if before[name] != after[name]]
    return found


def _routed(deployed: DeployedModel) -> dict[str, str]:
    """What of a model a gateway knows, in words."""
    split, shadow, payloads = deployed.split, deployed.shadow, deployed.payloads
    return {
        "split": "none" if split is None else "by weight",
        "experiment": str(split and split.experiment),
        "sticky by": " or ".join(filter(None, (split.sticky.header, split.sticky.cookie))) if split else "nothing",
        "shadow": f"{shadow.version} {shadow.percent:g} %, {shadow.in_flight} in flight" if shadow else "none",
        "payloads": f"{payloads.percent:g} %, the last {payloads.most}, {payloads.keep_days:g} days" if payloads else "not kept",
        "in flight": str(deployed.limits.in_flight),
        "default": deployed.default,
        "versions": ", ".join(sorted(deployed.versions)),
    }


def _away(weights: dict[str, float], version: str, stand_in: str) -> dict[str, float]:
    """The weights with those of a version given to another, in the same order."""
    moved = weights | {version: 0.0}
    return moved | {stand_in: round(moved.get(stand_in, 0.0) + weights[version], 2)}
