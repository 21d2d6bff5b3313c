"""A real API server of Kubernetes with its etcd, on loopback: it takes objects or refuses them, and runs nothing."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
import urllib3
from servers import eventually

from marina.kubernetes.objects import Manifest
from marina.serving.children import end, last_lines
from marina.serving.free_ports import free_ports

TOKEN = "of-this-machine-alone"  # noqa: S105 - of a server that lives for a test, on loopback
SECONDS = 120


@dataclass
class ApiServer:
    """A running one.

    Attributes:
        url: where it answers.
    """

    url: str
    session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.session.headers["Authorization"] = f"Bearer {TOKEN}"
        self.session.trust_env = False  # else its bundle of authorities goes before `verify`
        self.session.verify = False
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)

    def ask(self, path: str, method: str = "GET", **more: Any) -> requests.Response:
        """A request."""
        return self.session.request(method, f"{self.url}{path}", timeout=30, **more)

    def apply(self, manifest: Manifest, *, dry_run: bool = False) -> None:
        """What ``kubectl apply --server-side`` does; with ``dry_run`` all of it but storing.

        Raises:
            AssertionError: it refuses; its reason is the message.
        """
        asked = {"fieldManager": "tests", "force": "true", **({"dryRun": "All"} if dry_run else {})}
        headers = {"Content-Type": "application/apply-patch+yaml"}
        answer = self.ask(path_of(manifest), "PATCH", params=asked, headers=headers, data=json.dumps(manifest))
        assert answer.ok, f"{manifest['kind']} {manifest['metadata']['name']}: {answer.text}"

    def is_ready(self) -> bool:
        """Whether it answers for all of itself."""
        try:
            return self.ask("/readyz").text == "ok"
        except requests.RequestException:
            return False


def path_of(manifest: Manifest) -> str:
    """Where the API has an object."""
    group, kind, metadata = manifest["apiVersion"], manifest["kind"].lower(), manifest["metadata"]
    root = "/api/v1" if group == "v1" else f"/apis/{group}"
    space = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
    plural = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"
    return f"{root}{space}/{plural}/{metadata['name']}"


@contextmanager
def api_server(programs: Path, folder: Path) -> Iterator[ApiServer]:
    """Start one, with what it stores in a folder; it is stopped, whatever happens."""
    ports = free_ports()
    etcd, peers = (f"http://127.0.0.1:{port}" for port in (ports.management_port, ports.metrics_port))
    subprocess.run(["openssl", "genrsa", "-out", folder / "accounts.key", "2048"], check=True, capture_output=True)
    (folder / "tokens.csv").write_text(f'{TOKEN},tests,tests,"system:masters"\n')
    key = str(folder / "accounts.key")
    commands = {
        "etcd": [
            *["--data-dir", str(folder / "etcd"), "--listen-client-urls", etcd, "--advertise-client-urls", etcd],
            *["--listen-peer-urls", peers],
        ],
        "kube-apiserver": [
            *["--etcd-servers", etcd, "--secure-port", str(ports.inference_port), "--bind-address", "127.0.0.1"],
            *["--cert-dir", str(folder / "certificates"), "--token-auth-file", str(folder / "tokens.csv")],
            *["--authorization-mode", "AlwaysAllow", "--service-cluster-ip-range", "10.96.0.0/16"],
            *["--service-account-issuer", "https://tests", "--service-account-signing-key-file", key],
            *["--service-account-key-file", key],
        ],
    }
    server, started = ApiServer(f"https://127.0.0.1:{ports.inference_port}"), []
    try:
        for name, options in commands.items():
            with (folder / f"{name}.log").open("wb") as log:
                command = [str(programs / name), *options]
                started.append(subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, cwd=folder))
        assert eventually(server.is_ready, SECONDS), "\n".join(last_lines(folder / "kube-apiserver.log", 30))
        yield server
    finally:
        for process in reversed(started):
            end(process, 20)
