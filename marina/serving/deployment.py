"""What should be running, as ``config/deployment.yaml`` says it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, PositiveInt, model_validator

from marina.reading import Strict, read_yaml


class DeployedVersion(Strict):
    """One version; what is left out is as its spec says."""

    workers: PositiveInt | None = None
    batch_size: PositiveInt | None = None
    max_batch_delay_ms: PositiveInt | None = None


class DeployedModel(Strict):
    """A model, the versions of it that run, and the one that answers where a request names none."""

    spec: str | None = Field(None, description="path of the spec's folder, where it is not in model_store/specs")
    default: str
    versions: dict[str, DeployedVersion | None] = Field(min_length=1)

    @model_validator(mode="after")
    def _default_runs(self) -> DeployedModel:
        if self.default not in self.versions:
            raise ValueError(f"the default, {self.default}, is not among the versions: {', '.join(self.versions)}")
        return self


class Deployment(Strict):
    """Everything that should be running."""

    models: dict[str, DeployedModel] = Field(min_length=1)

    def versions(self) -> list[Wanted]:
        """All versions, the default of each model first: TorchServe makes the first one it is given the default."""
        return [
            Wanted(model, version, version == deployed.default, deployed.spec, settings or DeployedVersion())
            for model, deployed in self.models.items()
            for version, settings in sorted(deployed.versions.items(), key=lambda item: item[0] != deployed.default)
        ]


@dataclass(frozen=True)
class Wanted:
    """One version that should be running."""

    model: str
    name: str
    is_default: bool
    spec: str | None
    settings: DeployedVersion

    def __str__(self) -> str:
        return f"{self.model} {self.name}"


def read_deployment(path: Path) -> Deployment:
    """The deployment in a file.

    Raises:
        UsageError: it is wrong; the message says where.
    """
    return read_yaml(path, Deployment)
