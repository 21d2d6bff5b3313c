"""docker-compose.yml as a stack of a Docker Swarm of this machine alone, by the commands of docs/swarm.md."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from documents import commands
from servers import eventually

from marina import paths

DOCUMENT = paths.ROOT / "docs" / "swarm.md"
LOOPBACK = "127.0.0.1"
BRIDGE = "docker_gwbridge"
START_SECONDS, LONG_SECONDS = 300, 240
FROM_OUTSIDE = ("INPUT", "!", "-i", "lo", "-p", "udp", "--dport", "4789", "-j", "DROP")  # overlay networks take all addresses
NO_IMAGE = "services: {grafana: !reset null}\n"  # it cannot be had everywhere


@dataclass(frozen=True)
class Stack:
    """A stack of the test's own.

    Attributes:
        name: of the stack, and the beginning of the names of its volumes and networks.
        subnet: of its inner network, without the last number.
        beside: a compose file that leaves out what cannot be had here.
    """

    name: str
    subnet: str
    beside: Path

    def run(self, line: str, **variables: str) -> str:
        """A command of the document, on this stack in the place of the document's; its standard output."""
        line = re.sub(r"\bmarina(?=_|$)", self.name, line).replace("172.30.77", self.subnet)
        line = line.replace("-f docker-compose.swarm.yml", f"-f docker-compose.swarm.yml -f {self.beside}")
        own = {"COMPOSE_PROJECT_NAME": self.name, "INSIDE_SUBNET": f"{self.subnet}.0/24"}
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            cwd=paths.ROOT,
            env=os.environ | own | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def deploy(self, **variables: str) -> None:
        """The document's last command, with something changed."""
        self.run(deploying(), **variables)

    def containers(self, service: str) -> list[str]:
        """Those of a service that run, one that ends among them."""
        return docker("ps", "-q", "--filter", f"label=com.docker.swarm.service.name={self.name}_{service}").split()

    def execute(self, service: str, *command: str) -> str:
        """Run a command in one container of a service; its standard output."""
        return docker("exec", self.containers(service)[0], *command)

    def is_whole(self) -> bool:
        """Whether every service has as many healthy containers as it should, and no other."""
        listed = docker("stack", "services", "--format", "{{.Name}} {{.Replicas}}", self.name).splitlines()
        counted = {name.removeprefix(f"{self.name}_"): replicas.split("/") for name, replicas in map(str.split, listed)}
        return all(have == want and len(self.containers(name)) == int(want) for name, (have, want) in counted.items())

    def is_answered_for(self) -> bool:
        """Whether the gateway has found workers of every version, which takes it some seconds after they are there."""
        return requests.get(self.url("/ready?strict"), timeout=30).ok

    def has_replaced(self, service: str, before: list[str]) -> bool:
        """Whether none of some containers runs any more, and all is whole."""
        return not set(before) & set(self.containers(service)) and self.is_whole()

    def updated(self, service: str) -> str:
        """How the last update of a service ended, or goes on."""
        found: str = docker(
            "service", "inspect", "--format", "{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}", self.full(service)
        )
        return found.strip()

    def full(self, service: str) -> str:
        """A service's name in the swarm."""
        return f"{self.name}_{service}"

    def url(self, path: str) -> str:
        """An address of the gateway that this machine alone reaches: Swarm could publish no port on loopback."""
        (network,) = json.loads(docker("network", "inspect", BRIDGE))
        (container,) = docker(
            "ps", "-q", "--no-trunc", "--filter", f"label=com.docker.swarm.service.name={self.full('gateway')}"
        ).split()
        return f"http://{network['Containers'][container]['IPv4Address'].partition('/')[0]}:8000{path}"

    def metrics_of(self, container: str) -> str:
        """What a TorchServe tells Prometheus."""
        code = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8082/metrics').read().decode())"
        return docker("exec", container, "python", "-c", code)

    def recorded(self) -> set[str]:
        """The ids of all requests in the record."""
        code = (
            "from sqlalchemy import select; from marina.comparing.traffic import Traffic; from marina.paths import State\n"
            "from marina.comparing.traffic_tables import requests\n"
            "with Traffic(State()) as traffic, traffic.reading() as connection:\n"
            "    print(*connection.execute(select(requests.c.request_id)).scalars())"
        )
        return set(self.execute("recorder", "python", "-c", code).split())

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What Prometheus answers."""
        address = f"http://127.0.0.1:9090/api/v1/query?query={expression}"
        return list(json.loads(self.execute("prometheus", "wget", "-q", "-O", "-", address))["data"]["result"])

    def said(self) -> str:
        """Every task that went wrong, and the last lines of every service."""
        tasks = docker("stack", "ps", "--no-trunc", "--format", "{{.Name}} {{.CurrentState}} {{.Error}}", self.name, check=False)
        logs = [
            docker("service", "logs", "--tail", "20", self.full(one), check=False)
            for one in ("torchserve", "gateway", "recorder")
        ]
        return "\n".join([tasks, *logs])


def docker(*arguments: str, check: bool = True) -> str:
    """Run ``docker``; its standard output."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"docker {' '.join(arguments)}\n{done.stderr}"
    return done.stdout


def deploying() -> str:
    """The document's command that deploys the stack."""
    (line,) = [one.line for one in commands(DOCUMENT) if "stack deploy" in one.line]
    return line


@contextmanager
def stack(folder: Path) -> Iterator[Stack]:
    """Up, by the document's commands, on a swarm that listens on loopback; all of it is gone at the end."""
    beside = folder / "no-image.yaml"
    beside.write_text(NO_IMAGE)
    subnet = f"172.31.{random.randrange(256)}"  # noqa: S311 - out of the way of others
    one = Stack(f"swarm-test-{uuid.uuid4().hex[:8]}", subnet, beside)
    before = docker("network", "ls", "--format", "{{.Name}}").split()
    subprocess.run(["iptables", "-I", *FROM_OUTSIDE], check=True)
    try:
        docker("swarm", "init", "--advertise-addr", LOOPBACK, "--listen-addr", f"{LOOPBACK}:2377", "--data-path-addr", LOOPBACK)
        for command in commands(DOCUMENT):
            if not command.line.startswith("docker swarm init"):
                one.run(command.line)
            if command.line == deploying():
                break
        assert eventually(one.is_whole, START_SECONDS), one.said()
        assert eventually(one.is_answered_for), one.said()
        yield one
    finally:
        _remove(one, [] if BRIDGE in before else [BRIDGE])


def _remove(one: Stack, networks: list[str]) -> None:
    docker("stack", "rm", one.name, check=False)
    label = f"label=com.docker.stack.namespace={one.name}"
    eventually(lambda: not docker("ps", "-aq", "--filter", label).split(), LONG_SECONDS)
    volumes = docker("volume", "ls", "-q", "--filter", f"name={one.name}_").split()
    docker("volume", "rm", *volumes, check=False)
    docker("swarm", "leave", "--force", check=False)
    for network in networks:
        docker("network", "rm", network, check=False)
    subprocess.run(["iptables", "-D", *FROM_OUTSIDE], check=True)
