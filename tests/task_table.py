"""The table of docs/tasks.md in code: each handler's networks, the runtimes that hold them, and why others do not."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from handlerkit.runtimes import RUNTIMES
from pictures import encoded
from PIL import Image
from ruamel.yaml import YAML

from marina import paths
from marina.store.spec import Spec, find_spec

TRACE = "trace"  # runtime torchscript without script: true, where the table's cell is scripted
SEED = 7


@dataclass(frozen=True)
class Network:
    """A line of the table.

    Attributes:
        handler: its name.
        model: the spec whose network it is.
        source: of its versions, as model.yaml has it.
        answers: largest difference allowed between the answers of two runtimes: of a probability, a side of a box in pixels,
            a number of an embedding, or the share of a mask's pixels.
        what: tells it from another network of the same handler, in the table.
        settings: of each version, beside its source and its runtime.
        scripted: whether ``torchscript`` goes by a script.
        refused: the build's reason by runtime, or by TRACE.
        changes: of the spec.
        random: whether it has random weights, since its own would have to be fetched.
        explained: JSON to explain, where the sample is not enough.
    """

    handler: str
    model: str
    source: Mapping[str, str] = field(default_factory=lambda: {"network": "network.py"})
    answers: float = 1e-4
    what: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    scripted: bool = False
    refused: Mapping[str, str] = field(default_factory=dict)
    changes: Mapping[str, Any] = field(default_factory=dict)
    random: bool = False
    explained: bytes | None = None

    def __str__(self) -> str:
        return f"{self.model} {Path(next(iter(self.source.values()))).stem}"

    @property
    def name(self) -> str:
        """The line's first cell."""
        return f"`{self.handler}`" + (f": {self.what}" if self.what else "")

    @property
    def spec(self) -> Spec:
        """As it is shipped."""
        return find_spec(self.model).spec

    @property
    def held_by(self) -> tuple[str, ...]:
        """The runtimes that can have it."""
        return tuple(runtime for runtime in RUNTIMES if runtime not in self.refused)

    @property
    def sample(self) -> bytes:
        """The spec's sample request."""
        found = find_spec(self.model)
        return found.beside(found.sample.request).read_bytes()

    @property
    def label(self) -> str | None:
        """The label of the sample's answer, if it has one."""
        return find_spec(self.model).sample.label

    def version(self, cell: str) -> dict[str, Any]:
        """What a version of the spec is, by runtime or TRACE."""
        made = {"source": dict(self.source), **self.settings, "runtime": "torchscript" if cell == TRACE else cell}
        return made | ({"script": True} if self.scripted and cell == "torchscript" else {})

    def copy_spec(self, folder: Path, cells: Iterable[str], **changes: Any) -> Path:
        """The spec's folder, copied, with a version for each of some cells, and its keys changed."""
        shutil.copytree(paths.SPECS / self.model, folder)
        yaml, file = YAML(typ="safe", pure=True), folder / "model.yaml"
        written = yaml.load(file) | self.changes | changes
        written["versions"] = {cell: self.version(cell) for cell in cells}
        with file.open("w") as opened:
            yaml.dump(written, opened)
        return folder

    def requests(self, count: int) -> list[bytes]:
        """The sample, and requests that differ: those that training held out, else pictures of noise."""
        return [self.sample, *itertools.islice(self._others(), count - 1)]

    def _others(self) -> Iterator[bytes]:
        if self.random:
            yield from _noise()
            return
        from marina.store.sources import load_module  # imports torch

        training = load_module(paths.SPECS / self.model / "training.py")
        yield from (request for request, _ in training.held_out())


def _noise() -> Iterator[bytes]:
    """Pictures of many sizes, with coarse and fine noise; the same each time."""
    random = np.random.default_rng(SEED)
    while True:
        height, width, coarse = random.integers(40, 400), random.integers(40, 400), int(random.integers(2, 40))
        pixels = random.integers(0, 256, (height // coarse + 1, width // coarse + 1, 3), dtype=np.uint8)
        yield encoded(Image.fromarray(pixels).resize((int(width), int(height))))


NO_ANTIALIAS = "Exporting the operator 'aten::_upsample_bilinear2d_aa' to ONNX opset version 18 is not supported"
ROUNDS = "type Tensor doesn't define __round__ method"
DRAWS = "predict_step draws random numbers, and this runtime silently leaves dropout out; use one of eager, torchscript"
OF_A_TRACE = "goes by a trace, which keeps the number of images that it was made with"
OF_A_GRAPH = "goes by torch.export, which cannot follow a number of boxes that depends on the image"

NETWORKS = (
    Network("image_classifier", "digits", {"network": "large.py"}),
    Network(
        "tensor_classifier",
        "digits_predictor",
        {"network": "stretching.py"},
        what="one `interpolate` inside",
        refused={"onnx": NO_ANTIALIAS},
    ),
    Network(
        "tensor_classifier",
        "digits_predictor",
        {"network": "predictor.py"},
        what="torchvision's transforms inside",
        scripted=True,
        refused={
            TRACE: ROUNDS,
            "export": "Data-dependent branching",
            "aotinductor": "Data-dependent branching",
            "onnx": ROUNDS,
            "openvino": ROUNDS,
        },
    ),
    Network("object_detector", "digit_scenes", answers=0.01, what="a number of candidates that is always the same"),
    Network(
        "object_detector",
        "ssdlite-coco",
        {"torchvision": "ssdlite320_mobilenet_v3_large", "weights": "COCO_V1"},
        answers=0.01,
        what="torchvision's networks",
        scripted=True,
        refused={
            TRACE: f"without script: true it {OF_A_TRACE}",
            "export": OF_A_GRAPH,
            "aotinductor": OF_A_GRAPH,
            "onnx": OF_A_TRACE,
            "openvino": OF_A_TRACE,
        },
        changes={"options": {"size": [320, 320], "threshold": 0.01}},  # random weights are sure of nothing
        random=True,
    ),
    Network("image_segmenter", "digit_masks", answers=1e-3),
    Network(
        "lightning_module",
        "digits_mc",
        what="random passes",
        settings={"method": "predict_step", "threads": 1},
        refused={"onnx": DRAWS, "openvino": DRAWS},
    ),
    Network("tensor_model", "wine"),
    Network("text_classifier", "docstrings"),
    Network(
        "text_embedder",
        "minilm",
        explained=b'{"text": "How do I solve a system of equations?", "other": "Solve a linear matrix equation."}',
    ),
)
BUILT = [(network, runtime) for network in NETWORKS for runtime in network.held_by]
REFUSED = [(network, cell) for network in NETWORKS for cell in network.refused]
