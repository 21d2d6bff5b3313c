"""What a pod runs before TorchServe: archives pulled from where they were pushed to, those that the manifests name alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from manifests import SETTINGS, containers, pods
from scripts_of_ours import run_script
from stores import add_version, make_store

from marina import paths
from marina.gateway.settings import GatewaySettings
from marina.kubernetes.house import House, house_of
from marina.kubernetes.rendering import rendered
from marina.kubernetes.settings import KubernetesSettings, read_kubernetes_settings
from marina.paths import Store
from marina.serving.deployment import Deployment
from marina.store.index import find_entry, read_index, verified_archive

DEPLOYMENT = {"models": {"brightness": {"default": "1", "versions": {"1": None, "2": None}}}}


@pytest.fixture
def ours(tmp_path: Path) -> Store:
    """What was built, and pushed to a folder."""
    store = make_store(tmp_path / "ours")
    (tmp_path / "shared").mkdir()
    assert run_script("push_store", tmp_path / "shared", "--store", store.folder).code == 0
    return store


@pytest.fixture
def house(ours: Store) -> House:
    """The deployment of both versions, from a volume."""
    shipped = read_kubernetes_settings(SETTINGS).model_dump()
    settings = KubernetesSettings.model_validate(shipped | {"store": {"address": "/shared", "claim": "models"}})
    return house_of(Deployment.model_validate(DEPLOYMENT), read_index(ours), GatewaySettings(), settings)


def pull(house: House, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the pod's command with the pod's folders on this machine."""
    files, *_ = (one for one in rendered(house)["torchserve.yaml"] if one["kind"] == "ConfigMap")
    (folder / "house").mkdir(exist_ok=True)
    shutil.rmtree(folder / "store", ignore_errors=True)
    (folder / "store").mkdir()
    for name, text in files["data"].items():
        (folder / "house" / name).write_text(text)
    (template,) = [template for name, template in pods(rendered(house)["torchserve.yaml"]) if name == "torchserve"]
    command = containers(template)[0]["command"]
    script = (
        command[-1]
        .replace("/house", f"{folder}/house")
        .replace("/store", f"{folder}/store")
        .replace("/shared", f"{folder}/shared")
    )
    script = script.replace(f"scripts/pull{folder}/store", "scripts/pull_store").replace("python ", f"{sys.executable} ")
    return subprocess.run(
        [*command[:-1], script], cwd=paths.ROOT, capture_output=True, text=True, check=False, env=dict(os.environ), timeout=120
    )


def test_a_pod_gets_what_the_manifests_name(house: House, ours: Store, tmp_path: Path) -> None:
    """Both archives, byte for byte."""
    done = pull(house, tmp_path)
    assert done.returncode == 0, done.stderr
    pulled = Store(tmp_path / "store")
    for version in ("1", "2"):
        entry = find_entry(pulled, "brightness", version)
        assert entry.sha256 == find_entry(ours, "brightness", version).sha256
        verified_archive(pulled, entry)


def test_another_archive_of_that_name_is_refused(house: House, ours: Store, tmp_path: Path) -> None:
    """Pushed after the manifests were made, by whoever can write there: the pod does not start, and says which differs."""
    add_version(ours, tmp_path / "ours-specs" / "brightness", "2", seed=9)
    assert run_script("push_store", tmp_path / "shared", "brightness", "--store", ours.folder, "--replace").code == 0
    done = pull(house, tmp_path)
    assert done.returncode == 1
    assert "brightness 2" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "store" / "archives" / "brightness-2.mar").exists()


def test_a_damaged_archive_is_refused(house: House, ours: Store, tmp_path: Path) -> None:
    """Its bytes are not those of the digest that it is stored under."""
    sha256 = find_entry(ours, "brightness", "1").sha256
    damaged = tmp_path / "shared" / "objects" / sha256
    content = bytearray(damaged.read_bytes())
    content[100] ^= 1
    damaged.chmod(0o644)
    damaged.write_bytes(content)
    done = pull(house, tmp_path)
    assert done.returncode == 1
    assert "it was damaged or tampered with and is refused" in done.stderr
    assert json.loads((tmp_path / "store" / "index.json").read_text())["models"]["brightness"]["1"]["sha256"] == sha256
