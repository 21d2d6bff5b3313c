"""The compose stack, built and run for real."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import requests
from servers import eventually

from marina import paths
from marina.serving.free_ports import environment, free_ports
from marina.serving.management import Management
from marina.serving.ports import Ports

SAMPLE = paths.SPECS / "digits" / "seven.png"


@dataclass(frozen=True)
class Stack:
    """A compose project of the test's own, on free ports."""

    project: str
    ports: Ports

    def compose(self, *arguments: str, check: bool = True) -> str:
        """Run ``docker compose`` on the repository's file; its standard output."""
        done = subprocess.run(
            ["docker", "compose", "--project-name", self.project, *arguments],
            cwd=paths.ROOT,
            env=os.environ | environment(self.ports),
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

    def url(self, path: str, api: str = "inference") -> str:
        """A published address."""
        return f"http://127.0.0.1:{getattr(self.ports, f'{api}_port')}{path}"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Up, by the README's command; torn down with its volumes."""
    if subprocess.run(["docker", "version"], capture_output=True, check=False).returncode:
        pytest.skip("no container engine answers")
    started = Stack(f"marina-test-{uuid.uuid4().hex[:8]}", free_ports())
    try:
        started.compose("up", "--build", "--wait")
        yield started
    finally:
        started.compose("down", "--volumes", check=False)


pytestmark = pytest.mark.timeout(1800)


def test_up_returns_when_every_worker_is_ready(stack: Stack) -> None:
    """Both versions answer at once, rightly, and say who they are."""
    for version in ("1.0", "2.0"):
        workers = requests.get(stack.url(f"/models/digits/{version}", "management"), timeout=30).json()[0]["workers"]
        assert [worker["status"] for worker in workers] == ["READY"]
        answer = requests.post(stack.url(f"/predictions/digits/{version}"), data=SAMPLE.read_bytes(), timeout=30)
        assert answer.json()[0]["label"] == "7"
        assert answer.headers["X-Model-Version"] == version
    assert 'model_version="2.0"' in requests.get(stack.url("/metrics", "metrics"), timeout=30).text


def test_health_is_the_readiness_of_workers(stack: Stack) -> None:
    """Without a version the health check fails, and says which; TorchServe's /ping would still say Healthy."""
    check = ["exec", "-T", "torchserve", "python", "scripts/check_ready.py"]
    stack.compose(*check)
    Management(stack.url("", "management")).unregister("digits", "2.0")
    assert eventually(lambda: "2.0" not in Management(stack.url("", "management")).versions("digits"))
    try:
        assert requests.get(stack.url("/ping"), timeout=30).json() == {"status": "Healthy"}
        with pytest.raises(AssertionError, match=r"error: digits 2\.0 is not registered"):
            stack.compose(*check)
    finally:
        again = {"url": "digits-2.0.mar", "initial_workers": "1", "synchronous": "true"}
        assert requests.post(stack.url("/models", "management"), params=again, timeout=120).ok
    stack.compose(*check)


def test_the_container_may_do_little(stack: Stack) -> None:
    """An ordinary user, a read-only file system, no capabilities, ports on loopback alone."""
    container = json.loads(subprocess.check_output(["docker", "inspect", stack.compose("ps", "-q", "torchserve").strip()]))[0]
    assert container["Config"]["User"] == "marina"
    assert container["HostConfig"]["ReadonlyRootfs"]
    assert container["HostConfig"]["CapDrop"] == ["ALL"]
    bindings = [binding for bound in container["HostConfig"]["PortBindings"].values() for binding in bound]
    assert len(bindings) == 5
    assert {binding["HostIp"] for binding in bindings} == {"127.0.0.1"}


def test_the_store_cannot_be_written_by_the_server(stack: Stack) -> None:
    """Archives are read-only to TorchServe."""
    with pytest.raises(AssertionError, match="Read-only file system"):
        stack.compose("exec", "-T", "torchserve", "touch", "/store/archives/x.mar")


def test_stopping_is_clean_and_a_second_up_builds_nothing(stack: Stack) -> None:
    """The server ends by itself on stop (exit code 0), and the store is kept for the next start."""
    stack.compose("stop")
    states = [json.loads(line) for line in stack.compose("ps", "--all", "--format", "json").splitlines() if line.startswith("{")]
    assert {state["Service"]: state["ExitCode"] for state in states} == {"build": 0, "torchserve": 0}
    stack.compose("up", "--wait")
    assert stack.compose("logs", "build").count("training") <= 2  # the first start's two networks, and no more
    answer = requests.post(stack.url("/predictions/digits"), data=SAMPLE.read_bytes(), timeout=30)
    assert answer.status_code == 200
    stack.compose("down")
