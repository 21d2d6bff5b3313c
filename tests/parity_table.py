"""The table of docs/roads.md: how far each road's answers are from the eager network's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from differences import bound

from marina import paths
from marina.store.spec import SpecFile, find_spec

DOCUMENT = paths.ROOT / "docs" / "roads.md"
BEGIN, END = "<!-- measured by make parity -->\n", "<!-- end of what was measured -->\n"
NO, NOT_MEASURED = "no", "not measured"
FIGURE = re.compile(r"^(0|1e-?\d+)$")
ANSWERS = 1e-5  # largest difference of a probability in an answer, which is rounded to six digits
REDUCED = 1e-1  # likewise, of a network in reduced precision


@dataclass(frozen=True)
class Model:
    """A column.

    Attributes:
        name: of its spec.
        version: of it.
        random: whether its weights are random, since its own would have to be fetched.
        pixels_by: ONNX's exporter of the file that has preprocessing inside.
        refused: why roads cannot have it, by their names.
    """

    name: str
    version: str
    random: bool = False
    pixels_by: str = "trace"
    refused: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return self.name

    @property
    def found(self) -> SpecFile:
        """Its spec."""
        return find_spec(self.name)

    @property
    def given(self) -> list[str]:
        """Options of scripts."""
        return ["--version", self.version, *(["--random-weights"] if self.random else [])]


OUTPUTS = (  # roads that give the network's outputs
    "ONNX, by a trace",
    "ONNX, by dynamo",
    "ONNX, with preprocessing",
    "C++, TorchScript",
    "C++, AOTInductor",
    "ExecuTorch, XNNPACK",
)
BUILT = {  # runtime and precision of the version that TorchServe has
    "TorchServe, TorchScript": ("torchscript", "fp32"),
    "TorchServe, torch.export": ("export", "fp32"),
    "TorchServe, AOTInductor": ("aotinductor", "fp32"),
    "TorchServe, ONNX Runtime": ("onnx", "fp32"),
    "TorchServe, OpenVINO": ("openvino", "fp32"),
    "TorchServe, OpenVINO in bf16": ("openvino", "bf16"),
    "TorchServe, OpenVINO in int8": ("openvino", "int8"),
}
ENVELOPES = ("KServe 1, REST", "KServe 2, REST", "KServe 2, gRPC")
ROADS = (*BUILT, *ENVELOPES, "Flask", "Lightning, many inputs", *OUTPUTS, "Triton, Python backend", "SageMaker")

DRAWS = "draws random numbers"
WITHOUT_DRAWS = (*(road for road, (runtime, _) in BUILT.items() if runtime in ("onnx", "openvino")), *OUTPUTS[:3], OUTPUTS[5])
MODELS = (
    Model("digits", "1.0"),
    Model("resnet18-imagenet", "1.0", random=True),
    Model("vgg16-imagenet", "1.0", random=True, pixels_by="dynamo"),  # a trace does not know its pooling's sizes then
    Model("digits_mc", "1", refused=tuple((road, DRAWS) for road in WITHOUT_DRAWS)),
)


def allowed(road: str, model: Model) -> float:
    """The largest difference of a cell: of outputs the spec's tolerance, of answers that of a probability."""
    if road in OUTPUTS:
        return model.found.spec.tolerance
    return ANSWERS if BUILT.get(road, ("", "fp32"))[1] == "fp32" else REDUCED


def as_table(standing: Mapping[str, Mapping[str, str]], measured: Mapping[tuple[str, str], float] | None = None) -> str:
    """The table in Markdown, with what was measured, and else with what stands there."""
    lines = [["road", "compares", *(f"`{model}`" for model in MODELS)], ["---"] * (len(MODELS) + 2)]
    lines.append(
        ["within: outputs / answers", "", *(f"{bound(model.found.spec.tolerance)} / {bound(ANSWERS)}" for model in MODELS)]
    )
    for road in ROADS:
        cells = [_cell(road, model, measured or {}, standing.get(road, {})) for model in MODELS]
        lines.append([road, _compared(road), *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def read_table(document: Path = DOCUMENT) -> dict[str, dict[str, str]]:
    """The cells of the document's table by road and model."""
    lines = [line.strip("|\n ").split(" | ") for line in table_text(document).splitlines()]
    return {line[0]: dict(zip([str(model) for model in MODELS], line[2:], strict=True)) for line in lines[3:]}


def table_text(document: Path = DOCUMENT) -> str:
    """The document's table, as it stands there."""
    return document.read_text().partition(BEGIN)[2].partition(END)[0]


def write_table(table: str, document: Path = DOCUMENT) -> None:
    """Put a table in the place of the document's."""
    before, _, rest = document.read_text().partition(BEGIN)
    document.write_text(before + BEGIN + table + END + rest.partition(END)[2])


def _compared(road: str) -> str:
    reduced = f", within {bound(REDUCED)}" if allowed(road, MODELS[0]) == REDUCED else ""
    return "outputs" if road in OUTPUTS else f"answers{reduced}"


def _cell(road: str, model: Model, measured: Mapping[tuple[str, str], float], before: Mapping[str, str]) -> str:
    if road in dict(model.refused):
        return NO
    return bound(measured[road, str(model)]) if (road, str(model)) in measured else before.get(str(model), NOT_MEASURED)
