"""The gateway's files as a cluster has them, in a real Envoy: a folder that is replaced by a link, as Kubernetes does it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from manifests import a_house, manifests
from servers import eventually

from marina import paths
from marina.gateway.gateway import Applied, Gateway
from marina.gateway.place import Address
from marina.gateway.process import Envoy, find_envoy
from marina.gateway.written import applied_file, bootstrap_file, watched_files
from marina.kubernetes.objects import Manifest
from marina.paths import State
from marina.serving.children import end
from marina.serving.deployment import read_deployment
from marina.serving.free_ports import free_ports


@pytest.fixture
def applied() -> Applied:
    """What a cluster's gateway is told, on this machine's loopback."""
    ports, told = free_ports(), a_house().applied
    callers, internal = (Address("127.0.0.1", port) for port in (ports.gateway_port, ports.gateway_internal_port))
    nobody = Address("127.0.0.1", ports.inference_port)
    place = replace(told.place, callers=callers, internal=internal, inference=nobody, management=nobody, grpc=nobody)
    return replace(told, place=place)


@pytest.fixture
def running(applied: Applied, tmp_path: Path) -> Iterator[State]:
    """An Envoy that was given them."""
    state = State(tmp_path)
    (state.gateway / "watched").mkdir(parents=True)
    (state.gateway / "bootstrap.json").write_text(bootstrap_file())
    mounted(state.gateway / "watched", watched_files(applied), "first")
    (state.gateway / "applied.json").write_text(applied_file(applied))
    with Envoy(state):
        assert eventually(Gateway(state).stats.answers)
        yield state


def mounted(folder: Path, files: dict[str, str], name: str) -> None:
    """Replace what is in a folder as a kubelet does: beside it, behind a link that is exchanged in one step."""
    (folder / f"..{name}").mkdir()
    for file, text in files.items():
        (folder / f"..{name}" / file).write_text(text)
        if not (folder / file).is_symlink():
            (folder / file).symlink_to(f"..data/{file}")
    (folder / "..data_tmp").symlink_to(f"..{name}")
    (folder / "..data_tmp").rename(folder / "..data")


def test_a_changed_config_map_is_a_changed_split(applied: Applied, running: State) -> None:
    """Envoy takes all files, says so by the digests that the export wrote, and takes a new split without a restart."""
    gateway = Gateway(running)
    gateway.wait_until_taken()
    assert gateway.splits()["digits"].weights == {"1.0": 50.0, "2.0": 50.0}
    split = read_deployment(paths.DEPLOYMENT).models["digits"].split
    assert split is not None
    digits = applied.deployment.models["digits"].model_copy(
        update={"split": split.model_copy(update={"weights": {"1.0": 95.0, "2.0": 5.0}})}
    )
    after = replace(applied, deployment=applied.deployment.model_copy(update={"models": {"digits": digits}}))
    mounted(running.gateway / "watched", watched_files(after), "second")
    (running.gateway / "applied.json").write_text(applied_file(after))
    gateway.wait_until_taken()
    assert gateway.splits()["digits"].weights == {"1.0": 95.0, "2.0": 5.0}


@pytest.mark.usefixtures("running")
def test_in_front_of_several_servers_nothing_is_changed_through_the_gateway(applied: Applied) -> None:
    """A change would reach one of them: reading goes through (here nobody answers, 503), everything else is not found."""
    url = f"http://{applied.place.internal}/models"
    assert requests.get(url, timeout=10).status_code == 503
    for method in ("POST", "PUT", "DELETE"):
        assert requests.request(method, url, timeout=10).status_code == 404


@pytest.mark.usefixtures("running")
def test_before_it_ends_it_sends_callers_elsewhere(applied: Applied) -> None:
    """What a pod runs before Envoy is stopped: /healthz still answers, each answer closes its connection, /ready is 503."""
    (template,) = [one["spec"]["template"] for one in _gateway_pods()]
    envoy = template["spec"]["containers"][0]
    command = envoy["lifecycle"]["preStop"]["exec"]["command"]
    script = re.sub(r"sleep \d+$", "sleep 0", command[-1].replace("8001", str(applied.place.internal.port)))
    callers = f"http://{applied.place.callers}"
    assert "connection" not in requests.get(f"{callers}/healthz", timeout=10).headers
    subprocess.run([*command[:-1], script], check=True, timeout=10)
    answer = requests.get(f"{callers}/healthz", timeout=10)
    assert (answer.status_code, answer.headers["connection"]) == (200, "close")
    assert requests.get(f"{callers}/ready", timeout=10).status_code == 503


def test_the_command_of_the_pod_starts_envoy(applied: Applied, tmp_path: Path) -> None:
    """Its options are Envoy's own: with the pod's paths on this machine it answers."""
    (template,) = [one["spec"]["template"] for one in _gateway_pods()]
    envoy = template["spec"]["containers"][0]
    (tmp_path / "watched").mkdir()
    mounted(tmp_path / "watched", watched_files(applied), "first")
    (tmp_path / "bootstrap.json").write_text(bootstrap_file())
    command = [str(find_envoy()), *(one.replace("/files", str(tmp_path)) for one in envoy["command"][1:])]
    with (tmp_path / "envoy.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log, start_new_session=True, env=os.environ)
        try:
            assert eventually(lambda: _alive(f"http://{applied.place.callers}/healthz")), (tmp_path / "envoy.log").read_text()
        finally:
            end(process, 10)


def _gateway_pods() -> list[Manifest]:
    return [one for one in manifests("as shipped") if one["kind"] == "Deployment" and one["metadata"]["name"] == "gateway"]


def _alive(url: str) -> bool:
    try:
        return bool(json.loads(requests.get(url, timeout=5).text)["status"] == "alive")
    except requests.RequestException:
        return False
