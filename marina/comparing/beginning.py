"""Begin a rollout: what is asked for is compared with what runs, before anything is changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from marina.comparing.copies import is_recorded
from marina.comparing.guardrails import Bounds
from marina.comparing.live import in_order, standing
from marina.comparing.moves import Controls
from marina.comparing.rollout import Rollout, steps_from
from marina.comparing.split import Shadow, Split
from marina.errors import MarinaError, UsageError
from marina.serving.deployment import DeployedModel, Deployment


@dataclass(frozen=True)
class Wish:
    """What a person asks for.

    Attributes:
        model: whose version.
        candidate: the version.
        steps: percent, ascending.
        bake_seconds: how long each step is watched at least.
        max_bake_seconds: how long at most.
        min_requests: that the candidate must have had in a step.
        bounds: how much worse it may be; the objectives are the deployment's.
        shadow_percent: of the requests that it gets copies of meanwhile; None for no more than the deployment says.
    """

    model: str
    candidate: str
    steps: list[float]
    bake_seconds: float
    max_bake_seconds: float
    min_requests: int
    bounds: Bounds
    shadow_percent: float | None = None


def begin(controls: Controls, deployment: Deployment, wish: Wish) -> Rollout:
    """The rollout that is asked for, not begun yet.

    Raises:
        UsageError: the deployment has no such version, or no split.
        MarinaError: what runs is not what the deployment says, an arm is not READY, or there is nothing to do.
    """
    deployed = _deployed(deployment, wish)
    split = _live(controls, deployment, wish.model)
    before = split.model_copy(update={"weights": in_order(deployed, _weights(split, deployed, wish))})
    steps = steps_from(before, wish.candidate, wish.steps)
    if not steps:
        raise MarinaError(f"{wish.model}: {wish.candidate} has {_has(split, wish):g} % already")
    others = {version: weight for version, weight in before.weights.items() if version != wish.candidate}
    current = max(others, key=lambda version: others[version], default=None)
    if current is None or not others[current]:
        raise MarinaError(f"{wish.model}: no arm but {wish.candidate} has weight: there is nothing to compare it with")
    _require_ready(controls, wish.model, (wish.candidate, current))
    before_shadow = controls.gateway.deployment().models[wish.model].shadow
    return Rollout(
        model=wish.model,
        candidate=wish.candidate,
        current=current,
        steps=steps,
        bake_seconds=wish.bake_seconds,
        max_bake_seconds=wish.max_bake_seconds,
        min_requests=wish.min_requests,
        bounds=wish.bounds.model_copy(update={"objectives": deployed.objectives}),
        before=before,
        shadow=_shadow(controls, wish, before_shadow),
        before_shadow=before_shadow,
        file_weights=deployed.split.weights if deployed.split else {},
        began=datetime.now(UTC),
    )


def _deployed(deployment: Deployment, wish: Wish) -> DeployedModel:
    deployed = deployment.models.get(wish.model)
    if deployed is None:
        raise UsageError(f"the deployment has no model '{wish.model}'; it has: {', '.join(deployment.models)}")
    if wish.candidate not in deployed.versions:
        known = ", ".join(deployed.versions)
        raise UsageError(
            f"the deployment has no version {wish.candidate} of {wish.model}; it has: {known}: add it, and run "
            "scripts/apply_deployment.py"
        )
    if deployed.split is None:
        raise UsageError(
            f"the deployment has no split of {wish.model}: give it one, such as split: {{weights: "
            f'{{"{deployed.default}": 100}}}}, and run scripts/apply_deployment.py'
        )
    return deployed


def _live(controls: Controls, deployment: Deployment, model: str) -> Split:
    """The split that the gateway has, which must be the one that stands."""
    wanted = standing(deployment, controls.state).deployment.models[model].split
    found = controls.gateway.splits().get(model)
    if found is None or wanted is None or not found.is_as(wanted):
        has = found or "by no split"
        raise MarinaError(f"the gateway shares {model} {has}, and {wanted} should stand: run scripts/apply_deployment.py first")
    return found


def _shadow(controls: Controls, wish: Wish, before: Shadow | None) -> Shadow | None:
    """The shadow that the rollout asks for, with as many copies in flight as one of the deployment has."""
    if wish.shadow_percent is None:
        return None
    if not is_recorded(controls.state):
        raise UsageError("--shadow: answers are compared in the traffic record, and nothing is recorded: start the recorder")
    if before is not None and before.version == wish.candidate:
        return before.model_copy(update={"percent": wish.shadow_percent})
    return Shadow(version=wish.candidate, percent=wish.shadow_percent)


def _weights(split: Split, deployed: DeployedModel, wish: Wish) -> dict[str, float]:
    """With the candidate, and without arms that earlier rollouts have left at nothing."""
    kept = {*(deployed.split.weights if deployed.split else ()), *(one for one, weight in split.weights.items() if weight)}
    return {one: weight for one, weight in split.weights.items() if one in kept} | {wish.candidate: _has(split, wish)}


def _has(split: Split, wish: Wish) -> float:
    return split.weights.get(wish.candidate, 0.0)


def _require_ready(controls: Controls, model: str, versions: tuple[str, ...]) -> None:
    running = controls.management.versions(model)
    for version in versions:
        if version not in running:
            raise MarinaError(f"{model} {version} is not registered: run scripts/apply_deployment.py first")
        if not running[version].is_ready:
            ready = f"{running[version].ready_workers} of {running[version].wanted_workers}"
            raise MarinaError(f"{model} {version}: {ready} workers are READY: a rollout begins when all are")
