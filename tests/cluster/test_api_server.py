"""A real API server takes the manifests: its defaults, its validation, its merging of lists.

It is of 1.20, the last whose source Debian 12 has: PodDisruptionBudgets are asked for by their older name, and what operators
define is left out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_servers import ApiServer, api_server
from manifests import VARIANTS, a_house

from marina import paths
from marina.kubernetes.objects import Manifest
from marina.kubernetes.rendering import rendered

PROGRAMS = Path(os.environ.get("KUBERNETES_PROGRAMS", paths.ROOT / ".venv" / "kubernetes" / "bin"))
CUSTOM = {"ScaledObject", "ServiceMonitor", "PrometheusRule"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """With the house's namespace."""
    if not (PROGRAMS / "kube-apiserver").is_file():
        pytest.skip(f"{PROGRAMS} has no kube-apiserver: make api-server builds it")
    with api_server(PROGRAMS, tmp_path_factory.mktemp("api")) as one:
        one.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "marina"}})
        yield one


def known(variant: dict[str, Any]) -> list[Manifest]:
    """The objects that this Kubernetes knows."""
    found = [one for manifests in rendered(a_house(**variant)).values() for one in manifests if one["kind"] not in CUSTOM]
    older = {"PodDisruptionBudget": "policy/v1beta1"}
    return [one | {"apiVersion": older.get(one["kind"], one["apiVersion"])} for one in found]


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_takes_every_object(server: ApiServer, variant: str) -> None:
    """By a dry run, and then for good; twice, since an export is applied again and again."""
    objects = known(VARIANTS[variant])
    assert len(objects) > 15
    for manifest in objects:
        server.apply(manifest, dry_run=True)
    for manifest in [*objects, *objects]:
        server.apply(manifest)


def test_it_refuses_what_is_wrong(server: ApiServer) -> None:
    """So that the test above can fail: a field of another type, and a value that validation knows."""
    manifest = json.loads(json.dumps(next(one for one in known({}) if one["kind"] == "Deployment")))
    with pytest.raises(AssertionError, match="expected list"):
        server.apply({**manifest, "spec": manifest["spec"] | {"template": {"spec": {"containers": 1}}}}, dry_run=True)
    manifest["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"] = "1Mi"
    with pytest.raises(AssertionError, match="must be less than or equal to memory limit"):
        server.apply(manifest, dry_run=True)
