"""The compose stack, built and run for real."""

from __future__ import annotations

import json
import os
import random
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from servers import eventually

from marina import paths
from marina.serving.free_ports import environment, free_ports
from marina.serving.ports import Ports

SAMPLE = paths.SPECS / "digits" / "seven.png"
GRAFANA = "grafana"  # no image of it can be had everywhere: its files are checked by themselves
SERVICES = ("torchserve", "gateway", "recorder", "exporter", "prometheus")
LONG_SECONDS = 240


@dataclass(frozen=True)
class Stack:
    """A compose project of the test's own, on free ports."""

    project: str
    ports: Ports
    subnet: str

    def compose(self, *arguments: str, check: bool = True) -> str:
        """Run ``docker compose`` on the repository's file; its standard output."""
        done = subprocess.run(
            ["docker", "compose", "--project-name", self.project, *arguments],
            cwd=paths.ROOT,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            timeout=1500,
            check=False,
        )
        assert not check or done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}\n{self.logs()}"
        return done.stdout

    def logs(self) -> str:
        """The last lines of every service."""
        return self.compose("logs", "--tail", "30", check=False)

    @property
    def environment(self) -> dict[str, str]:
        """What moves the project out of the way of others."""
        others = {"INSIDE_OTHERS": f"{self.subnet}.128/25"}
        inside = {"INSIDE_SUBNET": f"{self.subnet}.0/24", "GATEWAY_INSIDE": f"{self.subnet}.2", **others}
        return environment(self.ports) | inside | {"GRAFANA_PORT": str(self.ports.exporter_port)}

    def url(self, path: str) -> str:
        """An address of the gateway, as it is published."""
        return f"http://127.0.0.1:{self.ports.gateway_port}{path}"

    def ask(self, version: str = "", **headers: str) -> requests.Response:
        """A prediction for the picture of a seven."""
        path = "/predictions/digits" + (f"/{version}" if version else "")
        return requests.post(self.url(path), data=SAMPLE.read_bytes(), headers=headers, timeout=60)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What Prometheus answers, asked in its own container: its port is published nowhere."""
        address = "http://127.0.0.1:9090/api/v1/query?" + urlencode({"query": expression})
        answer = json.loads(self.compose("exec", "-T", "prometheus", "wget", "-q", "-O", "-", address))
        return list(answer["data"]["result"])

    def firing(self, alert: str) -> bool:
        """Whether an alert fires."""
        return bool(self.query(f'ALERTS{{alertname="{alert}", alertstate="firing"}}'))

    def container(self, service: str) -> str:
        """A service's container."""
        return self.compose("ps", "--all", "-q", service).strip()

    def inspect(self, service: str) -> dict[str, Any]:
        """All that the engine says of a service's container."""
        return dict(json.loads(subprocess.check_output(["docker", "inspect", self.container(service)]))[0])


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Up, by the README's command; torn down with its volumes."""
    if subprocess.run(["docker", "version"], capture_output=True, check=False).returncode:
        pytest.skip("no container engine answers")
    subnet = f"172.30.{random.randrange(256)}"  # noqa: S311 - out of the way of a stack that runs already
    started = Stack(f"marina-test-{uuid.uuid4().hex[:8]}", free_ports(), subnet)
    try:
        started.compose("up", "--build", "--wait", *SERVICES)
        yield started
    finally:
        started.compose("down", "--volumes", check=False)


pytestmark = pytest.mark.timeout(1800)


def test_up_returns_when_every_arm_answers(stack: Stack) -> None:
    """Both versions answer at once through the gateway, rightly, and say who they are; who asks again gets the same one."""
    for version in ("1.0", "2.0"):
        answer = stack.ask(version)
        assert answer.json()[0]["label"] == "7"
        assert answer.headers["X-Model-Version"] == version
    arms = {caller: stack.ask(**{"X-User-Id": caller}).headers["X-Assigned-Version"] for caller in map(str, range(20))}
    assert set(arms.values()) == {"1.0", "2.0"}
    assert {caller: stack.ask(**{"X-User-Id": caller}).headers["X-Assigned-Version"] for caller in arms} == arms


def test_one_port_is_for_callers(stack: Stack) -> None:
    """Besides Grafana's nothing else is published, and that on loopback alone."""
    for service in SERVICES:
        bound = {port: binding for port, binding in stack.inspect(service)["HostConfig"]["PortBindings"].items() if binding}
        wanted = {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(stack.ports.gateway_port)}]}
        assert bound == (wanted if service == "gateway" else {})


def test_containers_may_do_little(stack: Stack) -> None:
    """No root, read-only file systems, no capabilities, no new privileges, bounded memory."""
    for service in SERVICES:
        container = stack.inspect(service)
        host = container["HostConfig"]
        assert container["Config"]["User"] not in ("", "root", "0"), service
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"], service
        assert host["SecurityOpt"] == ["no-new-privileges:true"], service
        assert host["Memory"] > 0, service


def test_from_other_containers_only_what_should_be_is_reachable(stack: Stack) -> None:
    """On the callers' network the gateway's one port; on the inner network each service's own, and no admin of the gateway."""
    hosts = ("torchserve", "gateway", "recorder", "exporter", "prometheus")
    ports = (22, 80, 443, 3000, 5432, 7070, 7071, 8000, 8001, 8002, 8003, 8080, 8081, 8082, 9090, 9901, 15000)
    assert _reachable(stack, "callers", hosts, ports) == {"gateway:8000"}
    inner = {f"torchserve:{port}" for port in (7070, 7071, 8080, 8081, 8082)}
    beside = {"gateway:8000", "gateway:8001", "recorder:8002", "exporter:8003", "prometheus:9090"}
    assert _reachable(stack, "inside", hosts, ports) == inner | beside


def test_prometheus_has_every_target(stack: Stack) -> None:
    """TorchServe, the gateway, the exporter, the recorder; what was asked above is counted by version."""
    assert eventually(lambda: [one["value"][1] for one in stack.query("min(up)")] == ["1"], 60)
    assert {one["metric"]["job"] for one in stack.query("up")} == {"torchserve", "gateway", "exporter", "recorder", "prometheus"}
    counted = 'sum by (model_version) (marina_answers_total{model_name="digits", status="200"})'
    assert eventually(lambda: {one["metric"]["model_version"] for one in stack.query(counted)} == {"1.0", "2.0"}, 60)
    assert eventually(lambda: float(stack.query("marina_recorder_requests_total")[0]["value"][1]) > 20, 60)


def test_a_dead_arm_is_alerted_and_the_alert_ends_with_it(stack: Stack) -> None:
    """Its callers are answered by the other arm meanwhile; the alert names what is dead, and goes when it is back."""
    caller = next(one for one in map(str, range(100)) if stack.ask(**{"X-User-Id": one}).headers["X-Assigned-Version"] == "2.0")
    _scale(stack, 0)
    assert eventually(lambda: stack.firing("ArmWithoutWorkers"), LONG_SECONDS)
    answer = stack.ask(**{"X-User-Id": caller})
    assert answer.status_code == 200
    assert (answer.headers["X-Assigned-Version"], answer.headers["X-Model-Version"]) == ("2.0", "1.0")
    _scale(stack, 1)
    assert eventually(lambda: not stack.firing("ArmWithoutWorkers"), LONG_SECONDS)


def test_health_is_the_readiness_of_workers(stack: Stack) -> None:
    """Without a version the health check fails, and says which; TorchServe's /ping would still say Healthy."""
    check = ["exec", "-T", "torchserve", "python", "scripts/check_ready.py"]
    manage = ["exec", "-T", "torchserve", "python", "scripts/register_model.py"]
    stack.compose(*check)
    stack.compose(*manage, "unregister", "digits", "2.0")
    try:
        assert requests.get(stack.url("/ping"), timeout=30).json() == {"status": "Healthy"}
        with pytest.raises(AssertionError, match=r"error: digits 2\.0 is not registered"):
            stack.compose(*check)
    finally:
        stack.compose(*manage, "register", "digits", "2.0")
    stack.compose(*check)


def test_a_killed_server_comes_back_by_itself(stack: Stack) -> None:
    """Killed, it is answered for by the gateway with 503; then it is back, every worker READY, with no hand on it."""
    before = stack.inspect("torchserve")["State"]["StartedAt"]
    stack.compose("exec", "-T", "torchserve", "pkill", "-KILL", "java", check=False)
    assert eventually(lambda: stack.ask().status_code == 503, 60)
    assert stack.ask().json()["type"] == "ServiceUnavailable"
    assert eventually(lambda: stack.ask("1.0").status_code == stack.ask("2.0").status_code == 200, LONG_SECONDS)
    assert stack.inspect("torchserve")["State"]["StartedAt"] != before
    assert eventually(lambda: stack.inspect("torchserve")["State"]["Health"]["Status"] == "healthy", LONG_SECONDS)


def test_no_secret_is_shown(stack: Stack) -> None:
    """The key for outcomes is in no log, no image and no description of a container, and is asked for."""
    key = stack.compose("exec", "-T", "recorder", "cat", "/state/traffic/outcomes.key").strip()
    assert len(key) >= 32
    shown = [stack.compose("logs"), *(json.dumps(stack.inspect(service)) for service in SERVICES)]
    shown.append(subprocess.check_output(["docker", "history", "--no-trunc", "marina:0.1.0"], text=True))
    assert [text for text in shown if key in text] == []
    post = (
        "import urllib.request as r\n"
        "r.urlopen(r.Request('http://recorder:8002/outcomes', b'{}', {'Content-Type': 'application/json'}))"
    )
    with pytest.raises(AssertionError, match="HTTP Error 401"):
        stack.compose("exec", "-T", "torchserve", "python", "-c", post)


def test_the_store_cannot_be_written_by_the_server(stack: Stack) -> None:
    """Archives are read-only to TorchServe."""
    with pytest.raises(AssertionError, match="Read-only file system"):
        stack.compose("exec", "-T", "torchserve", "touch", "/store/archives/x.mar")


def test_the_image_carries_no_compiler(stack: Stack) -> None:
    """Whoever gets in finds nothing to build with."""
    found = stack.compose("exec", "-T", "torchserve", "sh", "-c", "command -v gcc g++ cc c++ clang make ld; true")
    assert found == ""


def test_payloads_reach_the_recorder_where_the_deployment_asks_for_them(stack: Stack) -> None:
    """Over a socket in the volume that gateway and recorder share; nothing is kept before, nor after."""
    asks = (
        "import pathlib; text = pathlib.Path('config/deployment.yaml').read_text(); "
        "pathlib.Path('/tmp/deployment.yaml').write_text(text + '    payloads: {percent: 100}\\n')"
    )
    apply = ("exec", "-T", "torchserve", "python", "scripts/apply_deployment.py")
    kept = ("exec", "-T", "recorder", "find", "/state/traffic", "-name", "*.payload")
    assert stack.compose(*kept) == ""
    stack.compose("exec", "-T", "torchserve", "python", "-c", asks)
    stack.compose(*apply, "--deployment", "/tmp/deployment.yaml")  # noqa: S108 - in a container
    assert stack.ask().status_code == 200
    assert eventually(lambda: len(stack.compose(*kept).split()) == 1)
    stack.compose(*apply)
    assert eventually(lambda: stack.compose(*kept) == "")


def test_stopping_is_clean_and_a_second_up_builds_nothing(stack: Stack) -> None:
    """The server ends by itself on stop (exit code 0), and the store, the split and the record are kept for the next start."""
    kept = stack.compose("exec", "-T", "gateway", "cat", "/state/gateway/applied.json")
    stack.compose("stop")
    states = [json.loads(line) for line in stack.compose("ps", "--all", "--format", "json").splitlines() if line.startswith("{")]
    assert {state["Service"]: state["ExitCode"] for state in states} == dict.fromkeys(("build", *SERVICES), 0)
    stack.compose("up", "--wait", *SERVICES)
    assert stack.compose("logs", "build").count("training") <= 2  # the first start's two networks, and no more
    assert stack.ask().status_code == 200
    assert (
        json.loads(stack.compose("exec", "-T", "gateway", "cat", "/state/gateway/applied.json"))["deployment"]
        == json.loads(kept)["deployment"]
    )
    stack.compose("down")


def test_grafana_is_described(stack: Stack) -> None:
    """Its service is part of the file, on the inner network and people's, its files where it looks for them."""
    described = json.loads(stack.compose("config", "--format", "json"))["services"][GRAFANA]
    assert set(described["networks"]) == {"inside", "people"}
    assert described["read_only"]
    for volume in described["volumes"]:
        assert volume["type"] == "volume" or Path(volume["source"]).is_dir()


def _reachable(stack: Stack, network: str, hosts: tuple[str, ...], ports: tuple[int, ...]) -> set[str]:
    """Which of the addresses take a connection from a container of another project on a network."""
    probe = (
        "import socket, sys\n"
        "for host in sys.argv[1].split(','):\n"
        "  for port in map(int, sys.argv[2].split(',')):\n"
        "    try: socket.create_connection((host, port), 0.5).close(); print(f'{host}:{port}')\n"
        "    except OSError: pass\n"
    )
    where = f"{stack.project}_{network}"
    command = ["docker", "run", "--rm", "--network", where, "marina:0.1.0", "python", "-c", probe]
    done = subprocess.run(
        [*command, ",".join(hosts), ",".join(map(str, ports))], capture_output=True, text=True, timeout=300, check=True
    )
    return set(done.stdout.split())


def _scale(stack: Stack, workers: int) -> None:
    """Give digits 2.0 so many workers, as somebody may over the Management API."""
    code = f"from marina.serving.management import Management as M; M('http://127.0.0.1:8081').scale('digits', '2.0', {workers})"
    stack.compose("exec", "-T", "torchserve", "python", "-c", code)


def test_variables_of_opentelemetry_reach_torchserve(stack: Stack) -> None:
    """Those that the environment, or .env, has; without them TorchServe is given none."""

    def given(**more: str) -> dict[str, str | None]:
        command = ["docker", "compose", "--project-name", stack.project, "config", "--format", "json"]
        text = subprocess.check_output(command, cwd=paths.ROOT, env=os.environ | stack.environment | more)
        return dict(json.loads(text)["services"]["torchserve"]["environment"])

    assert not any(value for name, value in given().items() if name.startswith("OTEL_"))
    endpoint = "http://collector:4318"
    assert given(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)["OTEL_EXPORTER_OTLP_ENDPOINT"] == endpoint
