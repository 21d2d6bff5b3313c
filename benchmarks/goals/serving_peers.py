"""Peers as servers that are started, asked and ended: each in an environment of its own, on a free port of loopback."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import requests

from goals.targets import Asking, Target, form, in_json, raw
from marina import paths
from marina.errors import MarinaError
from marina.measuring.load import Request
from marina.serving.children import last_lines
from marina.serving.free_ports import free_port
from marina.serving.polling import wait_for

BENCHMARKS = paths.ROOT / "benchmarks"
START_SECONDS, GRACE_SECONDS = 180, 20
LOG_LINES = 30


@dataclass(frozen=True)
class Share:
    """How a peer shares the machine.

    Attributes:
        workers: processes that compute.
        threads: of each.
        batch: most rows together, where it batches.
    """

    workers: int = 2
    threads: int = 1
    batch: int = 8

    def __str__(self) -> str:
        """As people read it."""
        return f"{self.workers} workers of {self.threads} threads, batch {self.batch}"


@dataclass(frozen=True)
class Start:
    """Where a peer is started.

    Attributes:
        programs: of its environment.
        port: to listen on.
        folder: for files of its own.
        share: of the machine.
    """

    programs: Path
    port: int
    folder: Path
    share: Share

    def program(self, name: str) -> str:
        """One of its programs."""
        return str(self.programs / name)


Command = Callable[[Start], list[str]]


@dataclass(frozen=True)
class Peer:
    """A server that we compare with.

    Attributes:
        name: as its users call it.
        environment: folder of .venv that has it.
        command: to start it.
        asking: the request that it wants for a picture.
        share: by its own guide.
    """

    name: str
    environment: str
    command: Command
    asking: Asking
    share: Share = Share()

    @property
    def home(self) -> Path:
        """Its environment's folder."""
        return Path(sys.prefix) / self.environment


def _module(name: str) -> Command:
    return lambda start: [start.program("python"), "-m", f"peers.{name}"]


def _gunicorn(start: Start) -> list[str]:
    return [start.program("gunicorn"), "-w", str(start.share.workers), "-b", f"127.0.0.1:{start.port}", "peers.flask_app:app"]


def _bentoml(start: Start) -> list[str]:
    service = "peers.bento_service:ImageClassifier"
    return [start.program("bentoml"), "serve", service, "--host", "127.0.0.1", "--port", str(start.port)]


def _mlserver(start: Start) -> list[str]:
    ports = {"http_port": start.port, "grpc_port": free_port(), "metrics_port": free_port()}
    settings = {"host": "127.0.0.1", "parallel_workers": start.share.workers, **ports}
    model = {"name": "classifier", "implementation": "peers.mlserver_runtime.ImageClassifier"}
    batching = {"max_batch_size": start.share.batch, "max_batch_time": 0.01}
    (start.folder / "settings.json").write_text(json.dumps(settings))
    (start.folder / "model-settings.json").write_text(json.dumps(model | batching))
    return [start.program("mlserver"), "start", str(start.folder)]


def _triton(start: Start) -> list[str]:
    """The tritonserver of the wheel nvidia-pytriton: `make setup-roads`."""
    from goals.triton import command

    return command(start.port, start.folder, start.share.workers, start.share.batch)


def _open_inference(picture: str) -> dict[str, object]:
    image = {"name": "image", "shape": [1, 1], "datatype": "BYTES", "parameters": {"content_type": "base64"}, "data": [picture]}
    return {"inputs": [image]}


def _triton_asking(content: bytes) -> Request:
    body = struct.pack("<I", len(content)) + content
    image = {"name": "image", "shape": [1, 1], "datatype": "BYTES", "parameters": {"binary_data_size": len(body)}}
    header = json.dumps({"inputs": [image]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(header)), "Content-Type": "application/octet-stream"}
    return Request("/v2/models/classifier/infer", header + body, headers)


PEERS = {
    "litserve": Peer("LitServe", "peers", _module("lit_server"), in_json("/predict", lambda one: {"image_data": one})),
    "bentoml": Peer("BentoML", "peers", _bentoml, in_json("/predict", lambda one: {"images": [one]})),
    "ray": Peer("Ray Serve", "peers", _module("ray_deployment"), raw("/")),
    "mlserver": Peer("MLServer", "peers-mlserver", _mlserver, in_json("/v2/models/classifier/infer", _open_inference)),
    "fastapi": Peer("FastAPI", "peers", _module("fastapi_app"), form("/predict", "file")),
    "flask": Peer("Flask", "peers", _gunicorn, form("/predict", "file"), Share(workers=4)),
    "triton": Peer("Triton's Python backend", "roads", _triton, _triton_asking),
}


@contextmanager
def peer_serving(peer: Peer, network: Path, precision: str, picture: bytes, logs: Path) -> Iterator[Target]:
    """Start a peer with a network, until the block ends; it has answered a picture when the block begins.

    Args:
        peer: which.
        network: a state dict for eager, or an OpenVINO model.
        precision: of the latter.
        picture: that is asked.
        logs: where it writes.

    Raises:
        MarinaError: its environment is not there, or it does not answer; the message has the end of its log.
    """
    if not (peer.home / "bin" / "python").exists():
        raise MarinaError(f"{peer.name} is required in {peer.home}: make setup-peers setup-roads")
    port = free_port()
    target = Target(f"http://127.0.0.1:{port}", peer.asking)
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{peer.name.replace(' ', '-')}.log"
    with (
        tempfile.TemporaryDirectory(prefix="marina-peer-", dir="/tmp", ignore_cleanup_errors=True) as name,
        log.open("wb") as written,
    ):
        folder = Path(name)
        variables = _variables(peer, network, precision, port, folder)
        command = peer.command(Start(peer.home / "bin", port, folder, peer.share))
        process = subprocess.Popen(
            command, cwd=folder, env=os.environ | variables, stdout=written, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            answered = wait_for(lambda: _answers(target, picture) or process.poll() is not None, START_SECONDS)
            if not answered or process.poll() is not None:
                raise MarinaError(f"{peer.name} did not come up:\n" + "\n".join(last_lines(log, LOG_LINES)))
            yield target
        finally:
            _end(process)


def _variables(peer: Peer, network: Path, precision: str, port: int, folder: Path) -> Mapping[str, str]:
    share = peer.share
    return {
        "PEER_NETWORK": str(network),
        "PEER_PRECISION": precision,
        "PEER_PORT": str(port),
        "PEER_WORKERS": str(share.workers),
        "PEER_THREADS": str(share.threads),
        "PEER_BATCH": str(share.batch),
        "PEER_TEMP": str(folder / "own"),
        "PEERS": str(BENCHMARKS),
        "PYTHONPATH": str(BENCHMARKS),
        "PATH": f"{peer.home / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": str(share.threads),
        "BENTOML_HOME": str(folder / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "true",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "disabled",  # it listens on loopback alone, and would write a token into the home folder
    }


def _answers(target: Target, picture: bytes) -> bool:
    asked = target.asking(picture)
    try:
        return requests.post(target.address + asked.path, data=asked.body, headers=dict(asked.headers), timeout=30).ok
    except requests.RequestException:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it and all that it started, some of which have sessions of their own."""
    family = []
    with contextlib.suppress(psutil.Error):
        family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_SECONDS)
    for one in psutil.wait_procs(family, timeout=3)[1]:
        with contextlib.suppress(psutil.Error):
            one.kill()
    process.kill()
    process.wait()
