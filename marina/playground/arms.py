"""Ask every arm of a model the same, and the gateway which of them a caller would get."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from PIL import Image

from marina.comparing.split import Split
from marina.errors import MarinaError
from marina.serving.inference import Answer, Inference
from marina.serving.management import Management, Running

PICTURE = "image/png"
Splits = Callable[[], dict[str, Split]]


@dataclass(frozen=True)
class Arm:
    """A registered version.

    Attributes:
        version: its name.
        weight: percent of the callers that get it; None where the model has no split.
        ready: workers that take requests, of ``workers``.
    """

    version: str
    weight: float | None
    ready: int
    workers: int

    @property
    def heading(self) -> str:
        """What stands above its answers."""
        share = "no split" if self.weight is None else f"{self.weight:g} % of callers"
        return f"### {self.version}\n{share} · {self.ready}/{self.workers} workers READY"


@dataclass(frozen=True)
class Reply:
    """What one arm said.

    Attributes:
        prediction: its answer.
        explanation: a picture of what spoke for its answer; None where it gave none.
        unexplained: why it gave none.
    """

    prediction: Answer
    explanation: Image.Image | None
    unexplained: str

    @property
    def kind(self) -> Literal["error", "probabilities", "other"]:
        """How its prediction is shown."""
        if self.prediction.error is not None:
            return "error"
        return "probabilities" if self.probabilities else "other"

    @property
    def probabilities(self) -> dict[str, float]:
        """Of its classes, where it lists classes."""
        body = self.prediction.body
        classes = body.get("classes") if isinstance(body, dict) else body
        if not isinstance(classes, list):
            return {}
        return {str(one["label"]): float(one["probability"]) for one in classes if _is_class(one)}

    @property
    def caption(self) -> str:
        """What stands below its answers."""
        answered = f"answered as {self.prediction.version or 'nobody'} in {1000 * self.prediction.seconds:.0f} ms"
        return f"{answered}. {self.unexplained}".strip()


class House:
    """A running server with its gateway, as the page sees it."""

    def __init__(self, management: Management, gateway: Inference, splits: Splits) -> None:
        """Take the Management API, the callers' port of the gateway, and what tells the live splits."""
        self._management = management
        self._gateway = gateway
        self._splits = splits

    def models(self) -> list[str]:
        """Registered models, those with a split first.

        Raises:
            MarinaError: no server answers.
        """
        splits = self._splits()
        return sorted(self._management.models(), key=lambda model: (model not in splits, model))

    def split(self, model: str) -> Split | None:
        """The model's, as the gateway has it now."""
        return self._splits().get(model)

    def arms(self, model: str) -> list[Arm]:
        """The versions of a model, oldest name first."""
        split = self.split(model)
        return [_arm(running, split) for _, running in sorted(self._management.versions(model).items())]

    def ask(self, model: str, version: str, content: bytes) -> Reply:
        """One arm's answer to an input, and its explanation; what goes wrong is in the reply."""
        try:
            prediction = self._gateway.ask(model, content, version)
        except MarinaError as error:
            return Reply(Answer(0, None, None, str(error), 0), None, "")
        if prediction.error is not None:
            return Reply(prediction, None, "")
        return Reply(prediction, *self._explained(model, version, content))

    def _explained(self, model: str, version: str, content: bytes) -> tuple[Image.Image | None, str]:
        try:
            answer = self._gateway.ask(model, content, version, "explanations", headers={"Accept": PICTURE})
        except MarinaError as error:
            return None, str(error)
        if isinstance(answer.body, bytes):
            return Image.open(io.BytesIO(answer.body)), ""
        return None, answer.error or "It explains itself, but not as a picture."

    def assignment(self, model: str, key: str) -> str:
        """Which arm a caller gets, and why, in words.

        Raises:
            MarinaError: the gateway does not answer.
        """
        split = self.split(model)
        if split is None:
            return f"{model} has no split: its default version answers."
        header = split.sticky.header
        if not key or header is None:
            cookie = f", and a cookie, **{split.sticky.cookie}**, to keep it" if split.sticky.cookie else ""
            return f"A caller that names no {header or 'key'} gets an arm by chance{cookie}."
        version = self._gateway.assigned(model, {header: key})
        return (
            f"**{key}** gets **{version}**. The gateway hashes “{key}”, from the header {header}, together with the experiment’s "
            f"name, “{split.experiment or model}”, and {version} has {split.weights.get(version, 0):g} % of what a hash can be. "
            "The same key gets the same arm until the weights move past it."
        )


def _arm(running: Running, split: Split | None) -> Arm:
    weight = split.weights.get(running.version, 0) if split else None
    return Arm(running.version, weight, running.ready_workers, running.wanted_workers)


def _is_class(one: Any) -> bool:
    return isinstance(one, dict) and "label" in one and isinstance(one.get("probability"), (int, float))
