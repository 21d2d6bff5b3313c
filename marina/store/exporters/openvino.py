"""An OpenVINO model, converted from the network's trace."""

from __future__ import annotations

import warnings
from pathlib import Path

import openvino
import torch

from marina.store.exporters import Exported, Free, Inputs
from marina.store.exporters.torchscript import readable
from marina.store.sources import Network
from marina.store.sources.onnx import OnnxFile


def export(network: Network, example: Inputs, free: Free, folder: Path) -> Exported:
    """Write ``model.xml`` and ``model.bin`` in full precision; a worker chooses its own."""
    shapes = [
        openvino.PartialShape([-1 if number in dimensions else size for number, size in enumerate(one.shape)])
        for one, dimensions in zip(example, free, strict=True)
    ]
    if isinstance(network.module, OnnxFile):
        network.module.write(folder / "model.onnx")
        model = openvino.convert_model(folder / "model.onnx")
    else:
        model = _converted(network, example, shapes)
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)
    return Exported(folder, "model.xml", extra_files=("model.bin",))


def _converted(network: Network, example: Inputs, shapes: list[openvino.PartialShape]) -> openvino.Model:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(readable(network.served), example)
        return openvino.convert_model(traced, example_input=example, input=shapes)
