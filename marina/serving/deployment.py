"""What should be running, as ``config/deployment.yaml`` says it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, PositiveInt, model_validator

from marina.comparing.split import Limits, Objectives, Payloads, Shadow, Split
from marina.reading import Strict, read_yaml


class DeployedVersion(Strict):
    """One version; what is left out is as its spec says."""

    workers: PositiveInt | None = None
    batch_size: PositiveInt | None = None
    max_batch_delay_ms: PositiveInt | None = None


class DeployedModel(Strict):
    """A model, the versions of it that run, and which of them answers where a request names none.

    TorchServe answers such a request by the default; the gateway by the split, where there is one.
    """

    spec: str | None = Field(None, description="path of the spec's folder, where it is not in model_store/specs")
    of: str | None = Field(
        None, description="the model whose archives are served under this name, for example with workers of their own"
    )
    default: str
    versions: dict[str, DeployedVersion | None] = Field(min_length=1)
    split: Split | None = None
    shadow: Shadow | None = None
    payloads: Payloads | None = None
    objectives: Objectives = Objectives()
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _default_runs(self) -> DeployedModel:
        if self.default not in self.versions:
            raise ValueError(f"the default, {self.default}, is not among the versions: {', '.join(self.versions)}")
        return self

    @model_validator(mode="after")
    def _arms_run(self) -> DeployedModel:
        known = ", ".join(self.versions)
        for version in self.split.weights if self.split else ():
            if version not in self.versions:
                raise ValueError(f"the split's {version} is not among the versions: {known}")
        if self.shadow and self.shadow.version not in self.versions:
            raise ValueError(f"the shadow, {self.shadow.version}, is not among the versions: {known}")
        return self


class Deployment(Strict):
    """Everything that should be running."""

    models: dict[str, DeployedModel] = Field(min_length=1)

    def versions(self) -> list[Wanted]:
        """All versions, the default of each model first: TorchServe makes the first one it is given the default."""
        return [
            Wanted(
                model,
                version,
                settings or DeployedVersion(),
                is_default=version == deployed.default,
                of=deployed.of,
                spec=deployed.spec,
            )
            for model, deployed in self.models.items()
            for version, settings in sorted(deployed.versions.items(), key=lambda item: item[0] != deployed.default)
        ]


@dataclass(frozen=True)
class Wanted:
    """One version that should be running.

    Attributes:
        model: the name that it is served by.
        name: of the version.
        settings: what differs from its spec.
        is_default: whether it answers where a request names no version.
        of: the model of the store that it is, where that has another name.
        spec: path of its spec, where that is not ours.
    """

    model: str
    name: str
    settings: DeployedVersion
    is_default: bool = False
    of: str | None = None
    spec: str | None = None

    @property
    def built_as(self) -> str:
        """Its model's name in the store."""
        return self.of or self.model

    def __str__(self) -> str:
        return f"{self.model} {self.name}"


def read_deployment(path: Path) -> Deployment:
    """The deployment in a file.

    Raises:
        UsageError: it is wrong; the message says where.
    """
    return read_yaml(path, Deployment)
