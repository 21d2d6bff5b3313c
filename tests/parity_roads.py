"""Each road, run on a model's samples: what came, to be compared with the eager network."""

from __future__ import annotations

import base64
import io
import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import requests
import torch
from handlerkit.images import ImageOptions, read_image
from parity_table import Model
from pictures import encoded
from PIL import Image
from roads_environment import PYTHON
from triton_servers import triton_serving

from marina.paths import Store
from marina.roads.executorch import Program
from marina.roads.export import make
from marina.roads.networks import Source
from marina.roads.onnx import Session
from marina.roads.order import Order
from marina.roads.pictures import Pictures
from marina.store import parity

NOISE = 3  # pictures beside the sample
CONTAINER = Path(__file__).parent / "parity" / "sagemaker_container.py"
Outputs = list[list[torch.Tensor]]  # of each sample, all of the network's


@dataclass
class Sampled:
    """A model with its samples, and what its eager network makes of them.

    Attributes:
        model: the column of the table.
        store: with its weights.
        folder: for what is exported.
        classify: builds the C++ program where it is asked for.
    """

    model: Model
    store: Store
    folder: Path
    classify: Callable[[], Path]

    @cached_property
    def samples(self) -> list[bytes]:
        """The spec's sample, and pictures of noise of other sizes."""
        found, random = self.model.found, np.random.default_rng(7)
        sizes = random.integers(40, 400, (NOISE, 2))
        noise = [Image.fromarray(random.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]
        return [found.beside(found.sample.request).read_bytes(), *map(encoded, noise)]

    @cached_property
    def options(self) -> ImageOptions:
        """How the handler reads them."""
        known = ImageOptions.__dataclass_fields__
        return ImageOptions(**{key: value for key, value in self.model.found.spec.options.items() if key in known})

    @cached_property
    def tensors(self) -> list[torch.Tensor]:
        """The network's inputs, as the handler reads them."""
        return [read_image(sample, self.options).unsqueeze(0) for sample in self.samples]

    @cached_property
    def pixels(self) -> list[torch.Tensor]:
        """The pictures as they are, for networks that read them."""
        mode = Pictures(**self.model.found.spec.options).mode
        images = [Image.open(io.BytesIO(sample)).convert(mode) for sample in self.samples]
        arrays = [torch.from_numpy(np.array(image)) for image in images]
        return [one.reshape(1, *one.shape[:2], -1).permute(0, 3, 1, 2).contiguous() for one in arrays]

    @cached_property
    def eager(self) -> Outputs:
        """What the eager network makes of them."""
        name, version = self.model.name, self.model.version
        source = Source(Order(name, version, self.model.found, self.store, "", random=self.model.random))
        with torch.inference_mode():
            return [list(parity.tensors(parity.run(source.network, (one,)))) for one in self.tensors]

    def outputs_apart(self, found: Outputs) -> float:
        """The largest difference of an output."""
        pairs = [pair for one, other in zip(self.eager, found, strict=True) for pair in zip(one, other, strict=True)]
        return max(float((one - other.reshape(one.shape)).abs().max()) for one, other in pairs)

    def answers_apart(self, answers: list[Any]) -> float:
        """The largest difference of a probability that is answered."""
        softmax = self.model.found.spec.handler == "image_classifier"
        apart: list[float] = []
        for outputs, answer in zip(self.eager, answers, strict=True):
            probabilities = outputs[0][0].softmax(0) if softmax else outputs[0][0]
            apart += [abs(float(probabilities[one["index"]]) - one["probability"]) for one in answer]
        return max(apart)

    def export(self, road: str, way: str, inside: bool = False) -> Path:
        """The model made ready for a road."""
        out = self.folder / f"{road}-{way}{'-inside' * inside}"
        if not out.exists():
            order = Order(self.model.name, self.model.version, self.model.found, self.store, way, None, self.model.random, inside)
            make(road, order, out)
        return out


def onnx(sampled: Sampled, way: str, inside: bool = False) -> float:
    """By ONNX Runtime."""
    session = Session(sampled.export("onnx", way, inside) / "model.onnx")
    asked = sampled.pixels if inside else sampled.tensors
    return sampled.outputs_apart([list(parity.tensors(session(one))) for one in asked])


def classify(sampled: Sampled, way: str) -> float:
    """By the C++ program."""
    folder, outputs = sampled.export("libtorch", way), []
    for number, tensor in enumerate(sampled.tensors):
        given, written = folder / f"{number}.tensor", folder / f"{number}.outputs"
        given.write_bytes(tensor.numpy().tobytes())
        command = [sampled.classify(), folder, given, "--outputs", written]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        sizes = [one.numel() for one in sampled.eager[number]]
        outputs.append(list(torch.from_numpy(np.fromfile(written, "<f4")).split(sizes)))
    return sampled.outputs_apart(outputs)


def executorch(sampled: Sampled) -> float:
    """By ExecuTorch's runtime in this process."""
    program = Program(sampled.export("executorch", "xnnpack") / "model.pte")
    return sampled.outputs_apart([list(parity.tensors(program(one))) for one in sampled.tensors])


def sagemaker(sampled: Sampled) -> float:
    """By the code of SageMaker's containers; what is no image is refused with the handler's status."""
    folder = sampled.export("sagemaker", "handler")
    files = [folder / f"{number}.request" for number in range(len(sampled.samples) + 1)]
    for file, content in zip(files, [*sampled.samples, b"no image"], strict=True):
        file.write_bytes(content)
    command = [PYTHON, CONTAINER, folder / "model.tar.gz", folder / "unpacked", *files]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    *answers, refused = json.loads(done.stdout.splitlines()[-1])
    assert refused[0] == 422, refused
    assert [status for status, _ in answers] == [200] * len(answers), answers
    return sampled.answers_apart([json.loads(body) for _, body in answers])


def torchserve(sampled: Sampled, address: str) -> float:
    """By a real TorchServe."""
    url = f"{address}/predictions/{sampled.model.name}/{sampled.model.version}"
    replies = [requests.post(url, data=sample, timeout=120) for sample in sampled.samples]
    assert [reply.status_code for reply in replies] == [200] * len(replies), replies[0].text
    return sampled.answers_apart([reply.json() for reply in replies])


def kserve(sampled: Sampled, address: str) -> float:
    """By the same, all samples in one request of KServe's first protocol."""
    instances = [{"data": base64.b64encode(sample).decode()} for sample in sampled.samples]
    url = f"{address}/v1/models/{sampled.model.name}:predict"
    reply = requests.post(url, json={"instances": instances}, timeout=120)
    assert reply.status_code == 200, reply.text
    return sampled.answers_apart(reply.json()["predictions"])


def triton(sampled: Sampled) -> float:
    """By a real tritonserver: all samples and a bad row in one request; an explanation in another."""
    with triton_serving(sampled.export("triton", "handler"), sampled.folder) as server:
        *answers, refused = server.infer(sampled.model.name, *sampled.samples, b"no image")
        ((status, explained),) = server.infer(sampled.model.name, sampled.samples[0], explain=True)
    assert (refused[0], refused[1]["type"]) == (422, "UnprocessableInput")
    assert (status, bool(explained["method"])) == (200, True)
    assert [one for one, _ in answers] == [200] * len(answers)
    return sampled.answers_apart([answer for _, answer in answers])
