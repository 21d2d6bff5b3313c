"""Which split is live: the deployment's, unless a rollout has moved it since.

``state/splits.json`` remembers for each model what is live, by whom, and what the deployment said then. While the deployment
still says that, the live weights stand; as soon as it says something else, it wins.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError, field_validator

from marina.comparing.split import Shadow, Split
from marina.errors import MarinaError
from marina.paths import State
from marina.remembering import changing, recall, remember
from marina.serving.deployment import DeployedModel, Deployment

BY_DEPLOYMENT = "deployment"


class LiveSplit(BaseModel):
    """What is live of one model.

    Attributes:
        weights: percent by version.
        by: who put it there: ``deployment``, or a rollout in words.
        at: when.
        file_weights: what the deployment said then.
        shadow: that is on in place of the deployment's while a rollout runs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: dict[str, float]
    by: str
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    file_weights: dict[str, float]
    shadow: Shadow | None = None

    @field_validator("weights", "file_weights")
    @classmethod
    def _are_a_split(cls, weights: dict[str, float]) -> dict[str, float]:
        try:
            return Split(weights=weights).weights
        except ValidationError as error:
            raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None


class LiveSplits(RootModel[dict[str, LiveSplit]]):
    """By model."""


@dataclass(frozen=True)
class Standing:
    """What stands.

    Attributes:
        file: the deployment as the file has it.
        deployment: with the live weights where they stand.
        notes: a sentence for each model whose live weights stand in place of the file's.
    """

    file: Deployment
    deployment: Deployment
    notes: list[str]

    def remember(self, state: State) -> None:
        """Have what stands be what is live; where the file has won, what was live before is forgotten.

        Raises:
            MarinaError: the memory is corrupt, or cannot be written.
        """
        lives = read_live(state)
        for model, deployed in self.deployment.models.items():
            written = self.file.models[model].split
            if deployed.split is None or written is None:
                continue
            live = lives.get(model)
            if live is None or live.file_weights != written.weights or live.weights != deployed.split.weights:
                now = LiveSplit(weights=deployed.split.weights, by=BY_DEPLOYMENT, file_weights=written.weights)
                write_live(state, model, now)


def read_live(state: State) -> dict[str, LiveSplit]:
    """What is remembered as live, by model.

    Raises:
        MarinaError: the file is corrupt.
    """
    found = recall(_file(state), LiveSplits)
    return found.root if found else {}


def write_live(state: State, model: str, live: LiveSplit) -> None:
    """Remember what is live of a model.

    Raises:
        MarinaError: the file is corrupt, or cannot be written.
    """
    with changing(_file(state)):
        remember(_file(state), LiveSplits(read_live(state) | {model: live}))


def standing(deployment: Deployment, state: State, *, as_file: bool = False) -> Standing:
    """The deployment with the weights that stand.

    Args:
        deployment: as the file has it.
        state: where the live splits are remembered.
        as_file: take the file's weights, whatever is live.

    Raises:
        MarinaError: the memory is corrupt, or a live arm is no longer among the versions.
    """
    models, notes = dict(deployment.models), []
    for model, live in {} if as_file else read_live(state).items():
        deployed = models.get(model)
        if deployed and deployed.split and _stands(live, deployed.split):
            stands = {"split": _live_split(model, deployed, deployed.split, live), "shadow": live.shadow or deployed.shadow}
            models[model] = deployed.model_copy(update=stands)
            notes.append(f"{model}: {models[model].split} stands, by the {live.by}; --as-file takes the file's {deployed.split}")
    return Standing(deployment, deployment.model_copy(update={"models": models}), notes)


def in_order(deployed: DeployedModel, weights: dict[str, float]) -> dict[str, float]:
    """Weights in the order of the file's split, then of its versions: the order decides which callers an arm gets."""
    known = dict.fromkeys([*(deployed.split.weights if deployed.split else ()), *deployed.versions])
    return {version: weights[version] for version in known if version in weights}


def _stands(live: LiveSplit, split: Split) -> bool:
    return live.file_weights == split.weights and (live.weights != split.weights or live.shadow is not None)


def _live_split(model: str, deployed: DeployedModel, split: Split, live: LiveSplit) -> Split:
    for version, weight in live.weights.items():
        if weight and version not in deployed.versions:
            raise MarinaError(
                f"{model}: {version} has {weight:g} %, by the {live.by}, and is no longer among the versions: keep it there, or "
                "write the split that you want"
            )
    return split.model_copy(update={"weights": in_order(deployed, live.weights)})


def _file(state: State) -> Path:
    return state.folder / "splits.json"
