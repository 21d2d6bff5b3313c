"""The compose stack on Docker Swarm, run for real: several TorchServes behind the gateway, exchanged and killed under load."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from scripts_of_ours import load_file
from servers import eventually
from steady_load import SteadyLoad, steady_load
from swarms import LONG_SECONDS, Stack, docker, stack

from marina import paths

RATE = 10.0
PAYLOADS = 20
CALM_REQUESTS = 40
VERSIONS = ("1.0", "2.0")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack, whole."""
    state = subprocess.run(
        ["docker", "info", "--format", "{{.Swarm.LocalNodeState}}"], capture_output=True, text=True, check=False
    )
    if state.returncode:
        pytest.skip("no container engine answers")
    if state.stdout.strip() != "inactive":
        pytest.skip("this engine is part of a swarm: these tests make one of their own, and leave it")
    with stack(tmp_path_factory.mktemp("swarm")) as one:
        yield one


@pytest.fixture(scope="module")
def payloads() -> list[bytes]:
    """Pictures of held-out digits."""
    training = load_file(paths.SPECS / "digits" / "training.py")
    _, images, _, _ = training.split()
    return [training.png(image[0]) for image in images[:PAYLOADS]]


@pytest.fixture(scope="module")
def alone(swarm: Stack, payloads: list[bytes]) -> dict[str, list[Any]]:
    """What each version answers when nothing else is asked."""
    return {version: [ask(swarm, payload, version).json() for payload in payloads] for version in VERSIONS}


def ask(swarm: Stack, payload: bytes, version: str = "", **headers: str) -> requests.Response:
    path = "/predictions/digits" + (f"/{version}" if version else "")
    return requests.post(swarm.url(path), data=payload, headers=headers, timeout=60)


@contextmanager
def under_load(swarm: Stack, payloads: list[bytes], alone: dict[str, list[Any]], what: str) -> Iterator[SteadyLoad]:
    """Callers all the while, and a calm at both ends; every request of theirs was answered rightly, and is in the record."""
    with steady_load(swarm.url("/predictions/digits"), payloads, alone, RATE) as load:
        assert eventually(lambda: len(load.asked) >= CALM_REQUESTS)
        yield load
        calm = len(load.asked) + CALM_REQUESTS
        assert eventually(lambda: len(load.asked) >= calm)
    answered = {one.request_id for one in load.asked if one.request_id}
    assert eventually(lambda: answered <= swarm.recorded()), f"{len(answered - swarm.recorded())} are not in the record"
    slowest = max(one.done - one.due for one in load.asked)
    print(f"{what}: {len(load.asked)} sent, {dict(load.fates())}, the slowest {slowest:.1f} s")  # noqa: T201 - docs/swarm.md has it
    assert load.fates().keys() == {"right"}, [one.said for one in load.asked if one.fate != "right"][:5]


def test_every_replica_serves_every_version(swarm: Stack, payloads: list[bytes], alone: dict[str, list[Any]]) -> None:
    """All workers of both are READY in each of two, and each of the two is asked."""
    assert len(swarm.containers("torchserve")) == 2
    for version in VERSIONS:
        assert ask(swarm, payloads[0], version).headers["X-Model-Version"] == version
        assert len(alone[version]) == PAYLOADS
    for container in swarm.containers("torchserve"):
        docker("exec", container, "python", "scripts/check_ready.py")
        told = swarm.metrics_of(container)
        for version in VERSIONS:
            assert any(
                line.startswith("marina_answers_total") and f'model_version="{version}"' in line and float(line.split()[-1]) > 0
                for line in told.splitlines()
            ), told


def test_who_asks_again_gets_the_same_arm(swarm: Stack, payloads: list[bytes]) -> None:
    """Whichever replica answers."""
    arms: dict[str, set[str]] = {}
    for caller in [*map(str, range(20))] * 4:
        arms.setdefault(caller, set()).add(ask(swarm, payloads[0], **{"X-User-Id": caller}).headers["X-Assigned-Version"])
    assert all(len(one) == 1 for one in arms.values())
    assert set.union(*arms.values()) == set(VERSIONS)


def test_callers_reach_one_port(swarm: Stack) -> None:
    """From their network, where whoever is let in may attach: the gateway's own listener and TorchServe answer nobody there."""
    code = (
        "import urllib.request as r\n"
        "for address in ('gateway:8000/healthz', 'gateway:8001/stats', 'gateway:8001/models', 'torchserve:8081/models'):\n"
        "    try: print(address, r.urlopen(f'http://{address}', timeout=5).status)\n"
        "    except OSError as error: print(address, 'nothing')"
    )
    network = f"{swarm.name}_callers"
    said = docker("run", "--rm", "--network", network, "marina:0.1.0", "python", "-c", code)
    assert said.splitlines() == [
        "gateway:8000/healthz 200",
        "gateway:8001/stats nothing",
        "gateway:8001/models nothing",
        "torchserve:8081/models nothing",
    ]
    assert not any(
        ports for ports in docker("ps", "--format", "{{.Ports}}", "--filter", f"name={swarm.name}").split() if "->" in ports
    )


def test_containers_may_do_little(swarm: Stack) -> None:
    """No root, read-only file systems, no capabilities, bounded memory, as in the compose stack."""
    for service in ("torchserve", "gateway", "recorder", "exporter", "prometheus"):
        (container, *_) = swarm.containers(service)
        shown = "{{.Config.User}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{gt .HostConfig.Memory 0}}"
        user, *others = docker("inspect", "--format", shown, container).split()
        assert (user not in ("root", "0"), *others) == (True, "true", "[ALL]", "true"), service


def test_prometheus_asks_every_replica(swarm: Stack) -> None:
    """Two TorchServes are targets; the exporter tells of both together: a READY worker of each version in each."""
    assert eventually(lambda: len(swarm.query('up{job="torchserve"}==1'.replace('"', "%22"))) == 2, 90)
    workers = {one["metric"]["model_version"]: one["value"][1] for one in swarm.query("marina_workers_ready")}
    assert workers == dict.fromkeys(VERSIONS, "2")


def test_a_rolling_update_loses_no_request(swarm: Stack, payloads: list[bytes], alone: dict[str, list[Any]]) -> None:
    """The stack deployed again with another setting: each TorchServe is replaced by one that was READY before."""
    before = swarm.containers("torchserve")
    with under_load(swarm, payloads, alone, "rolling update"):
        swarm.deploy(OTEL_SERVICE_NAME="digits")
        assert eventually(lambda: swarm.has_replaced("torchserve", before), LONG_SECONDS), swarm.said()
    assert swarm.updated("torchserve") == "completed"


def test_more_and_fewer_replicas_lose_no_request(swarm: Stack, payloads: list[bytes], alone: dict[str, list[Any]]) -> None:
    """Three, of which the third is asked when it is READY; then one."""
    with under_load(swarm, payloads, alone, "two, three, one, two replicas"):
        for replicas in (3, 1, 2):
            docker("service", "scale", "--detach", f"{swarm.full('torchserve')}={replicas}")
            assert eventually(swarm.is_whole, LONG_SECONDS), swarm.said()


def test_a_killed_replica_is_made_up_for(swarm: Stack, payloads: list[bytes], alone: dict[str, list[Any]]) -> None:
    """The other one answers at once, and a new one comes."""
    (killed, *_) = before = swarm.containers("torchserve")
    with under_load(swarm, payloads, alone, "a replica is killed"):
        docker("kill", killed)
        assert eventually(lambda: killed not in swarm.containers("torchserve") and swarm.is_whole(), LONG_SECONDS), swarm.said()
    assert len(set(before) & set(swarm.containers("torchserve"))) == 1


def test_an_update_that_cannot_serve_is_rolled_back(swarm: Stack, payloads: list[bytes], alone: dict[str, list[Any]]) -> None:
    """It finds no archive; nobody notices, and the update takes itself back."""
    before = swarm.containers("torchserve")
    with under_load(swarm, payloads, alone, "an update that cannot serve"):
        docker("service", "update", "--detach", "--env-add", "MARINA_STORE=/nowhere", swarm.full("torchserve"))
        assert eventually(lambda: swarm.updated("torchserve") == "rollback_completed", LONG_SECONDS), swarm.said()
    assert set(before) == set(swarm.containers("torchserve"))


def test_a_split_is_changed_while_all_run(swarm: Stack, payloads: list[bytes]) -> None:
    """By the document's command, in a TorchServe's container: the gateway takes it at once, and nothing is started again."""
    before = {service: swarm.containers(service) for service in ("torchserve", "gateway")}
    change = (
        "import pathlib; text = pathlib.Path('config/deployment.yaml').read_text(); "
        'pathlib.Path(\'/tmp/deployment.yaml\').write_text(text.replace(\'"1.0": 50, "2.0": 50\', \'"1.0": 0, "2.0": 100\'))'
    )
    swarm.execute("torchserve", "python", "-c", change)
    apply = ("python", "scripts/apply_deployment.py", "--management", "http://gateway:8001")
    swarm.execute("torchserve", *apply, "--deployment", "/tmp/deployment.yaml")  # noqa: S108 - in a container
    assert {ask(swarm, payloads[0]).headers["X-Assigned-Version"] for _ in range(20)} == {"2.0"}
    swarm.execute("torchserve", *apply)
    assert {ask(swarm, payloads[0]).headers["X-Assigned-Version"] for _ in range(40)} == set(VERSIONS)
    assert {service: swarm.containers(service) for service in before} == before


def test_a_change_that_would_reach_one_replica_is_refused(swarm: Stack) -> None:
    """Workers, and versions, are changed where replicas are started."""
    change = (
        "import pathlib; text = pathlib.Path('config/deployment.yaml').read_text(); "
        "pathlib.Path('/tmp/deployment.yaml').write_text(text.replace('workers: 1', 'workers: 2', 1))"
    )
    swarm.execute("torchserve", "python", "-c", change)
    apply = ("python", "scripts/apply_deployment.py", "--management", "http://gateway:8001")
    with pytest.raises(AssertionError, match=r"error: several TorchServes stand behind the gateway, and this would reach one: "):
        swarm.execute("torchserve", *apply, "--deployment", "/tmp/deployment.yaml")  # noqa: S108 - in a container
