"""The tritonserver of the wheel nvidia-pytriton, with a model repository; it listens on loopback."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from roads_environment import PACKAGES, PYTHON

from marina.serving.free_ports import free_ports
from marina.serving.polling import wait_for

HOME = PACKAGES / "pytriton" / "tritonserver"
START_SECONDS = 300


@dataclass
class Triton:
    """A server that is ready."""

    address: str

    def infer(self, model: str, *rows: bytes, explain: bool = False) -> list[tuple[int, Any]]:
        """Status and answer of each row of one request, by Triton's binary protocol."""
        body = b"".join(struct.pack("<I", len(row)) + row for row in rows)
        described: dict[str, Any] = {"name": "request", "shape": [len(rows), 1], "datatype": "BYTES"}
        described["parameters"] = {"binary_data_size": len(body)}
        marks = {"name": "explain", "shape": [len(rows), 1], "datatype": "BOOL", "data": [[explain]] * len(rows)}
        header = json.dumps({"inputs": [described, marks] if explain else [described]}).encode()
        sent = {"Inference-Header-Content-Length": str(len(header))}
        reply = requests.post(f"{self.address}/v2/models/{model}/infer", data=header + body, headers=sent, timeout=120)
        assert reply.status_code == 200, reply.text
        found = {one["name"]: one["data"] for one in reply.json()["outputs"]}
        return [(status, json.loads(text)) for status, text in zip(found["status"], found["answer"], strict=True)]


@contextmanager
def triton_serving(repository: Path, folder: Path) -> Iterator[Triton]:
    """Start a server; it is stopped, whatever happens."""
    backend = folder / "backends" / "python"
    shutil.copytree(HOME / "backends" / "python", backend)
    shutil.copy(HOME / "python_backend_stubs" / "3.11" / "triton_python_backend_stub", backend)
    port = free_ports().inference_port
    libraries = f"{PACKAGES / 'nvidia_pytriton.libs'}:{sysconfig.get_config_var('LIBDIR')}"
    command = [HOME / "bin" / "tritonserver", f"--model-repository={repository}", f"--backend-directory={folder / 'backends'}"]
    command += [f"--http-port={port}", "--http-address=127.0.0.1", "--allow-grpc=false", "--allow-metrics=false"]
    variables = os.environ | {"LD_LIBRARY_PATH": libraries, "PATH": f"{PYTHON.parent}:{os.environ['PATH']}"}
    with (folder / "triton.log").open("wb") as log:
        process = subprocess.Popen([*map(str, command)], env=variables, stdout=log, stderr=log)
    try:
        server = Triton(f"http://127.0.0.1:{port}")
        wait_for(lambda: _ready(server.address) or process.poll() is not None, START_SECONDS)
        assert _ready(server.address), (folder / "triton.log").read_text()[-3000:]
        yield server
    finally:
        process.terminate()
        process.wait(60)


def _ready(address: str) -> bool:
    try:
        return requests.get(f"{address}/v2/health/ready", timeout=5).status_code == 200
    except requests.ConnectionError:
        return False
