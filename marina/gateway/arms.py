"""An arm in Envoy's terms: a cluster, and the host by which the second hop knows where to lead."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from marina.serving.deployment import DeployedModel, Deployment

ROUTES = ("predictions", "explanations")


@dataclass(frozen=True)
class Arm:
    """A version of a model that callers who name none may be given."""

    model: str
    version: str

    @property
    def cluster(self) -> str:
        """Requests that were assigned to this arm, whoever answered."""
        return f"{self.model}/{self.version}"

    @property
    def only(self) -> str:
        """Requests that this version was asked to answer."""
        return f"{self.cluster}/only"

    @property
    def shadow(self) -> str:
        """Copies of requests."""
        return f"{self.cluster}/shadow"

    @property
    def told(self) -> str:
        """Questions which arm a caller would get: they are no requests of the arm, and counted apart."""
        return f"{self.cluster}/told"

    @property
    def host(self) -> str:
        """A name for the second hop. Hosts are compared without regard to case, versions are not."""
        return f"arm-{hashlib.sha256(self.cluster.encode()).hexdigest()[:24]}"


def split_arms(model: str, deployed: DeployedModel) -> list[Arm]:
    """The arms of a model's split; none where it has none."""
    return [Arm(model, version) for version in deployed.split.weights] if deployed.split else []


def in_service(deployed: DeployedModel) -> list[str]:
    """The versions that answer where a request names none."""
    if deployed.split is None:
        return [deployed.default]
    return [version for version, weight in deployed.split.weights.items() if weight > 0]


def all_arms(deployment: Deployment) -> list[Arm]:
    """The arms of all splits."""
    return [arm for model, deployed in deployment.models.items() for arm in split_arms(model, deployed)]


def shadow_of(model: str, deployed: DeployedModel) -> Arm | None:
    """The arm that gets a model's copies."""
    return Arm(model, deployed.shadow.version) if deployed.shadow else None
