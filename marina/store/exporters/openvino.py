"""An OpenVINO model, converted from the network's trace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openvino

from marina.store.exporters import Exported, Free, Inputs
from marina.store.exporters.calibrated import quantized
from marina.store.exporters.quiet import unobserved
from marina.store.exporters.torchscript import traced
from marina.store.sources import Network
from marina.store.sources.onnx import OnnxFile


def export(network: Network, example: Inputs, free: Free, folder: Path) -> Exported:
    """Write ``model.xml`` and ``model.bin`` in full precision; a worker chooses its own."""
    model, lost = _converted(network, example, free, folder)
    return _saved(model, lost, folder)


def quantize(network: Network, example: Inputs, free: Free, folder: Path, calibration: Sequence[Inputs]) -> Exported:
    """Write them in int8."""
    model, lost = _converted(network, example, free, folder)
    names = [f"input_{number}" for number in range(len(example))]
    for one, name in zip(model.inputs, names, strict=True):
        one.get_tensor().set_names({name})
    return _saved(quantized(model, names, calibration), lost, folder)


def _converted(network: Network, example: Inputs, free: Free, folder: Path) -> tuple[Any, tuple[str, ...]]:
    if isinstance(network.module, OnnxFile):  # it came as one
        network.module.write(folder / "model.onnx")
        return openvino.convert_model(folder / "model.onnx"), ()
    shapes = [
        openvino.PartialShape([-1 if number in dimensions else size for number, size in enumerate(one.shape)])
        for one, dimensions in zip(example, free, strict=True)
    ]
    module, lost = traced(network, example)
    with unobserved():
        return openvino.convert_model(module, example_input=example, input=shapes), lost


def _saved(model: Any, lost: tuple[str, ...], folder: Path) -> Exported:
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)
    return Exported(folder, "model.xml", extra_files=("model.bin",), warnings=lost)
