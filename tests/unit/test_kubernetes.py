"""Manifests for Kubernetes, checked against its own schemas; no cluster is asked."""

from __future__ import annotations

import argparse
import shlex
from typing import Any

import kubernetes_validate
import pytest
from ruamel.yaml import YAML
from scripts_of_ours import load_file

from marina import paths

MANIFESTS = [paths.CONFIG / "kubernetes" / "predict-batch.yaml"]
VERSIONS = ["1.30", "1.37"]


def documents(name: str) -> list[dict[str, Any]]:
    return list(YAML(typ="safe", pure=True).load_all((paths.CONFIG / "kubernetes" / name).read_text()))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", [path.name for path in MANIFESTS])
def test_manifests_are_what_kubernetes_takes(name: str, version: str) -> None:
    """Every document, and no key that Kubernetes would not know."""
    for document in documents(name):
        kubernetes_validate.validate(document, version, strict=True)


def test_the_schema_finds_a_misspelt_key() -> None:
    """So that the test above can fail."""
    _, job = documents("predict-batch.yaml")
    job["spec"]["template"]["spec"]["restartPolice"] = "OnFailure"
    with pytest.raises(kubernetes_validate.ValidationError, match="restartPolice"):
        kubernetes_validate.validate(job, VERSIONS[-1], strict=True)


def test_the_job_is_a_command_of_ours_for_as_many_pods_as_it_says() -> None:
    """Its options are predict_batch.py's, and the pods find the first one by the service's name."""
    service, job = documents("predict-batch.yaml")
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    words = shlex.split(container["command"][-1])
    script = words.index("scripts/predict_batch.py")
    parser: argparse.ArgumentParser = load_file(paths.ROOT / "scripts" / "predict_batch.py").parser()
    assert parser.parse_args(words[script + 1 :]).output.suffix == ".parquet"
    environment = {one["name"]: one["value"] for one in container["env"]}
    assert spec["completions"] == spec["parallelism"] == int(environment["PODS"])
    name = service["metadata"]["name"]
    assert words[words.index("--master-addr") + 1] == f"{job['metadata']['name']}-0.{name}"
    assert pod["subdomain"] == name
    assert int(words[words.index("--master-port") + 1]) == service["spec"]["ports"][0]["port"]
