"""Each road that an export makes, run on a model's samples, and how far what came is from the eager network."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx as onnx_files
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
PIXEL, ROUNDING = 1 / 255, 1e-5  # a step of a pixel before it is normalised; what normalising may round
OTHERS = 0.3  # share of pixels that may be another by that step: Pillow does columns before rows where that is less work
CONTAINER = Path(__file__).parent / "parity" / "sagemaker_container.py"
Outputs = list[list[torch.Tensor]]  # of each sample, all of the network's


@dataclass
class Sampled:
    """A model with its samples, and what its eager network makes of them.

    Attributes:
        model: the column of the table.
        store: with its weights, and its version built.
        folder: for what is made of it.
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
        return self.by_eager(self.tensors)

    def by_eager(self, tensors: list[torch.Tensor]) -> Outputs:
        """What the eager network makes of inputs, each by itself."""
        source = Source(self.order(""))
        with torch.inference_mode():
            return [list(parity.tensors(parity.run(source.network, (one,)))) for one in tensors]

    def order(self, way: str, inside: bool = False) -> Order:
        """For an export."""
        name, version, random = self.model.name, self.model.version, self.model.random
        return Order(name, version, self.model.found, self.store, way, random=random, with_preprocessing=inside)

    def outputs_apart(self, found: Outputs) -> float:
        """The largest difference of an output."""
        return apart(self.eager, found)

    def answers_apart(self, answers: list[Any]) -> float:
        """The largest difference of a probability that is answered, of a spread, or of the first class's from the best's."""
        softmax = self.model.found.spec.handler == "image_classifier"
        found: list[float] = []
        for outputs, answer in zip(self.eager, answers, strict=True):
            probabilities = outputs[0][0].softmax(0) if softmax else outputs[0][0]
            found += [abs(float(probabilities[one["index"]]) - one["probability"]) for one in answer]
            found += [abs(float(outputs[1][0][one["index"]]) - one["spread"]) for one in answer if not softmax]
            found.append(float(probabilities.max() - probabilities[answer[0]["index"]]))
        return max(found)

    @contextmanager
    def exported(self, road: str, way: str, inside: bool = False) -> Iterator[Path]:
        """The model made ready for a road, until it is measured."""
        out = self.folder / f"{road}-{way}{'-inside' * inside}"
        make(road, self.order(way, inside), out)
        try:
            yield out
        finally:
            shutil.rmtree(out)


def apart(expected: Outputs, found: Outputs) -> float:
    """The largest difference of an output of a network from what is expected."""
    pairs = [pair for one, other in zip(expected, found, strict=True) for pair in zip(one, other, strict=True)]
    return max(float((one - other.reshape(one.shape)).abs().max()) for one, other in pairs)


def onnx(sampled: Sampled, way: str) -> float:
    """By ONNX Runtime."""
    with sampled.exported("onnx", way) as folder:
        return sampled.outputs_apart(_by_onnx(folder, sampled.tensors))


def onnx_of_pixels(sampled: Sampled) -> float:
    """By ONNX Runtime, from pixels: what it reads of them beside what the handler does, and its outputs beside the network's."""
    with sampled.exported("onnx", sampled.model.pixels_by, inside=True) as folder:
        read = _read_inside(folder, sampled.pixels)
        found = _by_onnx(folder, sampled.pixels)
    for one, other in zip(read, sampled.tensors, strict=True):
        assert float(((one - other).abs() > ROUNDING).double().mean()) <= OTHERS
        assert float((one - other).abs().max()) <= PIXEL / min(sampled.options.std) + ROUNDING
    return apart(sampled.by_eager(read), found)


def _read_inside(folder: Path, pixels: list[torch.Tensor]) -> list[torch.Tensor]:
    """What the part of a file that reads images gives to the network behind it."""
    model = onnx_files.load(folder / "model.onnx")
    name = _end_of_reading(model)
    onnx_files.utils.extract_model(str(folder / "model.onnx"), str(folder / "reading.onnx"), [model.graph.input[0].name], [name])
    reading = Session(folder / "reading.onnx")
    return [reading(one) for one in pixels]


def _end_of_reading(model: onnx_files.ModelProto) -> str:
    """What the reading part gives: by a trace its nodes have its name; dynamo's have none, and a convolution takes it."""
    named = [node for node in model.graph.node if node.name.startswith("/reading/")]
    return str(named[-1].output[0] if named else next(node for node in model.graph.node if node.op_type == "Conv").input[0])


def _by_onnx(folder: Path, inputs: list[torch.Tensor]) -> Outputs:
    session = Session(folder / "model.onnx")
    return [list(parity.tensors(session(one))) for one in inputs]


def classify(sampled: Sampled, way: str) -> float:
    """By the C++ program."""
    outputs = []
    with sampled.exported("libtorch", way) as folder:
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
    with sampled.exported("executorch", "xnnpack") as folder:
        program = Program(folder / "model.pte")
        return sampled.outputs_apart([list(parity.tensors(program(one))) for one in sampled.tensors])


def sagemaker(sampled: Sampled) -> float:
    """By the code of SageMaker's containers; what is no image is refused with the handler's status."""
    with sampled.exported("sagemaker", "handler") as folder:
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


def triton(sampled: Sampled) -> float:
    """By a real tritonserver: all samples and a bad row in one request; an explanation in another."""
    with sampled.exported("triton", "handler") as folder, triton_serving(folder, sampled.folder) as server:
        *answers, refused = server.infer(sampled.model.name, *sampled.samples, b"no image")
        ((status, explained),) = server.infer(sampled.model.name, sampled.samples[0], explain=True)
    assert (refused[0], refused[1]["type"]) == (422, "UnprocessableInput")
    assert (status, bool(explained["method"])) == (200, True)
    assert [one for one, _ in answers] == [200] * len(answers)
    return sampled.answers_apart([answer for _, answer in answers])
