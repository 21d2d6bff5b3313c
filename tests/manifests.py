"""Manifests of the house as tests ask for them: rendered from the repository's deployment and a small index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from marina import paths
from marina.gateway.settings import GatewaySettings
from marina.kubernetes.house import House, house_of
from marina.kubernetes.objects import Manifest
from marina.kubernetes.rendering import rendered, rendered_for_kserve
from marina.kubernetes.settings import KubernetesSettings, read_kubernetes_settings
from marina.paths import Store
from marina.serving.deployment import Deployment, read_deployment
from marina.store.index import read_index

FOLDER = Path(__file__).parent / "kubernetes"
SETTINGS = paths.CONFIG / "kubernetes" / "kubernetes.yaml"
BUILT = Store(FOLDER)  # has an index alone

VARIANTS: dict[str, dict[str, Any]] = {
    "as shipped": {},
    "with GPUs": {"torchserve": {"gpus": 2}},
    "recorded, with keys": {"recorder_secret": "recorder", "gateway": {"keys_secret": "keys"}},
    "from a volume": {"store": {"address": "/shared/models", "claim": "models"}},
    "without operators": {"autoscaling": None, "monitoring": None},
}


def a_house(deployment: Deployment | None = None, **changes: Any) -> House:
    """The house of the repository's deployment, with other settings of the cluster."""
    shipped = read_kubernetes_settings(SETTINGS).model_dump()
    settings = KubernetesSettings.model_validate(shipped | changes)
    return house_of(deployment or read_deployment(paths.DEPLOYMENT), read_index(BUILT), GatewaySettings(), settings)


def manifests(variant: str) -> list[Manifest]:
    """All manifests of a variant, those for KServe as well."""
    house = a_house(**VARIANTS[variant])
    files = {**rendered(house), **rendered_for_kserve(house)}
    return [one for found in files.values() for one in found]


def pods(found: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """The pods' descriptions, by the names of what makes them."""
    for one in found:
        if one["kind"] == "Deployment":
            yield one["metadata"]["name"], one["spec"]["template"]
        if one["kind"] == "ServingRuntime":
            own = {key: one["spec"][key] for key in ("containers", "volumes")}
            yield "kserve", {"metadata": {}, "spec": own}


def containers(template: Manifest) -> list[Manifest]:
    """All containers of a pod, those that run before the others first."""
    return [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]


def named(found: list[Manifest], kind: str, name: str) -> Manifest:
    """An object by its kind and name, or the beginning of its name where that ends in a digest."""
    (one,) = [one for one in found if one["kind"] == kind and one["metadata"]["name"].startswith(name)]
    return one
