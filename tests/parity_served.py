"""The roads that serve archives: TorchServe by each runtime and in KServe's envelopes, Flask, and Lightning over files."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from batches import rows_of
from flask_servers import flask_serving
from open_inference import infer, messages_of, stub_of
from parity_roads import Sampled
from parity_table import BUILT, Model
from pictures import encoded
from PIL import Image
from ruamel.yaml import YAML
from scripts_of_ours import Ended, run_script
from servers import READY, Serving, serving
from tritonclient import http

from marina.paths import Store
from marina.serving.free_ports import free_ports

BUILD_SECONDS = 1500
CALIBRATED = 32  # pictures
TOLERANCE = 1.0  # of the outputs of a network in reduced precision: what counts here are its answers
Answers = list[Any]


@dataclass
class Servers:
    """A TorchServe with one version of one model: the last that was asked for, so that memory has one network at a time.

    Attributes:
        folder: for servers, and the specs of what they have.
    """

    folder: Path
    _running: tuple[tuple[str, str], Serving] | None = None
    _stack: ExitStack = field(default_factory=ExitStack)

    def of(self, sampled: Sampled, road: str) -> Serving:
        """The server of a model by a road; what the one before it had is removed."""
        asked = (sampled.model.name, road)
        if self._running is None or self._running[0] != asked:
            self.stop()
            self._running = asked, self._stack.enter_context(served(sampled, road, self.folder / "served"))
        return self._running[1]

    def stop(self) -> None:
        """End what runs."""
        self._stack.close()
        self._running = None


@contextmanager
def served(sampled: Sampled, road: str, folder: Path) -> Iterator[Serving]:
    """A server with the version that a road has, which is built, and removed in the end if it is not the spec's own."""
    model, deployment = sampled.model, folder / "deployment.yaml"
    folder.mkdir()
    spec, version = version_of(model, road, folder / model.name)
    store = sampled.store
    if version != model.version:
        done = build(model, spec, version, store)
        assert done.code == 0, done.err
    with deployment.open("w") as file:
        own = {"spec": str(spec)} if spec != model.found.folder else {}
        YAML(typ="safe", pure=True).dump({"models": {model.name: {"default": version, "versions": {version: {}}} | own}}, file)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TS_OPEN_INFERENCE_PROTOCOL", "oip")
            with serving(free_ports(), store, folder / "server", "--deployment", deployment) as started:
                started.wait_for_output(READY, BUILD_SECONDS)
                yield started
    finally:
        shutil.rmtree(folder)
        if version != model.version:
            (store.archives / f"{model.name}-{version}.mar").unlink()


def version_of(model: Model, road: str, folder: Path) -> tuple[Path, str]:
    """The spec's folder and the version that a road has: the spec's own, or one in a copy, which has calibration pictures."""
    runtime, precision = BUILT[road]
    own = model.found.spec.versions[model.version]
    if (runtime, precision) == (own.runtime, own.precision):
        return model.found.folder, model.version
    version = f"{runtime}-{precision}"
    shutil.copytree(model.found.folder, folder)
    yaml, file = YAML(typ="safe", pure=True), folder / "model.yaml"
    written = yaml.load(file)
    changes = {"runtime": runtime, "precision": precision} | ({"tolerance": TOLERANCE} if precision == "bf16" else {})
    first = {key: value for key, value in written["versions"][model.version].items() if key != "script"}
    written["versions"] = {version: first | changes}
    if precision == "int8" and not _calibrates(folder / "training.py"):
        written["calibration"] = {"requests": "pictures"}
        draw_pictures(folder / "pictures")
    with file.open("w") as opened:
        yaml.dump(written, opened)
    return folder, version


def _calibrates(training: Path) -> bool:
    return training.is_file() and "def calibration(" in training.read_text()


def draw_pictures(folder: Path) -> None:
    """Coarse noise to calibrate a network on that has learnt nothing."""
    folder.mkdir()
    random = np.random.default_rng(1)
    for number in range(CALIBRATED):
        pixels = random.integers(0, 256, (8, 8, 3), np.uint8)
        picture = Image.fromarray(pixels).resize((256, 256), Image.Resampling.BICUBIC)
        (folder / f"{number:02}.png").write_bytes(encoded(picture))


def build(model: Model, spec: Path, version: str, store: Store) -> Ended:
    """Build a version of a spec."""
    random = ["--random-weights"] if model.random else []
    return run_script("build_mar", spec, "--version", version, *random, "--store", store.folder, seconds=BUILD_SECONDS)


def predictions(sampled: Sampled, server: Serving) -> Answers:
    """A sample a request."""
    return _asked(sampled, f"{server.url('/predictions')}/{sampled.model.name}")


def kserve_1(sampled: Sampled, server: Serving) -> Answers:
    """All samples in one request."""
    instances = [{"data": base64.b64encode(sample).decode()} for sample in sampled.samples]
    reply = requests.post(server.url(f"/v1/models/{sampled.model.name}:predict"), json={"instances": instances}, timeout=120)
    assert reply.status_code == 200, reply.text
    answers: Answers = reply.json()["predictions"]
    return answers


def kserve_2(sampled: Sampled, server: Serving) -> Answers:
    """All samples in one request of NVIDIA's client."""
    rows = http.InferInput("image", [len(sampled.samples)], "BYTES")
    rows.set_data_from_numpy(np.array(sampled.samples, dtype=object))
    address = f"127.0.0.1:{server.ports.inference_port}"
    with http.InferenceServerClient(address, network_timeout=120, connection_timeout=120) as client:
        return [json.loads(text) for text in client.infer(sampled.model.name, [rows]).as_numpy("answers")]


def kserve_2_grpc(sampled: Sampled, server: Serving) -> Answers:
    """A sample a call."""
    folder = sampled.folder / "messages"
    folder.mkdir()
    with messages_of(folder) as messages, stub_of(messages, server.ports.grpc_inference_port) as stub:
        answers = [infer(stub, messages, sampled.model.name, sample) for sample in sampled.samples]
    assert [(name, version) for name, version, _ in answers] == [("answers", sampled.model.version)] * len(answers)
    return [answer for _, _, answer in answers]


ENVELOPES: dict[str, Callable[[Sampled, Serving], Answers]] = {
    "KServe 1, REST": kserve_1,
    "KServe 2, REST": kserve_2,
    "KServe 2, gRPC": kserve_2_grpc,
}


def flask(sampled: Sampled) -> float:
    """By the development server."""
    model = sampled.model
    with flask_serving(sampled.store, model.name, "--default", model.version) as started:
        return sampled.answers_apart(_asked(sampled, f"{started.url}/predictions/{model.name}/{model.version}"))


def lightning(sampled: Sampled) -> float:
    """By predict_batch.py, on two processes; what is no image is a row of its own."""
    folder, output = sampled.folder / "inputs", sampled.folder / "predictions.parquet"
    folder.mkdir()
    for number, content in enumerate([*sampled.samples, b"no image"]):
        (folder / str(number)).write_bytes(content)
    more: list[str | Path] = ["--processes", "2", "--part-rows", "2", "--store", sampled.store.folder]
    done = run_script(
        "predict_batch", sampled.model.name, folder, *sampled.model.given[:2], "--output", output, *more, seconds=600
    )
    assert done.code == 0, done.err
    *answered, refused = rows_of(output)
    assert (refused["status"], [row["status"] for row in answered]) == (422, [200] * len(answered))
    return sampled.answers_apart([json.loads(row["answer"]) for row in answered])


def _asked(sampled: Sampled, url: str) -> Answers:
    replies = [requests.post(url, data=sample, timeout=120) for sample in sampled.samples]
    assert [reply.status_code for reply in replies] == [200] * len(replies), replies[0].text
    return [reply.json() for reply in replies]
