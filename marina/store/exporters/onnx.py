"""An ONNX file with free sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import onnx
import torch

from marina.store.exporters import Exported, Free, Inputs
from marina.store.exporters.calibrated import quantized
from marina.store.exporters.export import program_of
from marina.store.exporters.quiet import unobserved
from marina.store.exporters.torchscript import noticing_losses, readable
from marina.store.sources import Network
from marina.store.sources.onnx import OnnxFile

OPSET = 18
FILE = "model.onnx"


def export(network: Network, example: Inputs, free: Free, folder: Path) -> Exported:
    """Write the file by torch's tracing exporter, and check it."""
    path = folder / FILE
    if isinstance(network.module, OnnxFile):  # it came as one
        network.module.write(path)
        return _checked(path)
    names = _names(example)
    with noticing_losses() as lost:
        torch.onnx.export(
            readable(network.served),
            example,
            str(path),
            input_names=names,
            dynamic_axes={name: dict(zip(one, axes(name, one), strict=True)) for name, one in zip(names, free, strict=True)},
            opset_version=OPSET,
            dynamo=False,  # its successor keeps the place it ran in
        )
    return replace(_checked(path), warnings=tuple(lost))


def export_by_dynamo(network: Network, example: Inputs, free: Free, folder: Path) -> Exported:
    """Write the file by torch's newer exporter, which starts from a program of torch.export, and check it."""
    names = _names(example)
    with unobserved():
        torch.onnx.export(
            program_of(network, example, free),
            args=example,
            f=str(folder / FILE),
            input_names=names,
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    return _checked(folder / FILE)


def quantize(network: Network, example: Inputs, free: Free, folder: Path, calibration: Sequence[Inputs]) -> Exported:
    """Write the file in int8: with a pair of QuantizeLinear and DequantizeLinear around what is computed in 8 bits."""
    plain = export(network, example, free, folder)
    model = onnx.load(folder / FILE)
    names = [one.name for one in model.graph.input]  # those of a file that came as one are its own
    onnx.save(quantized(model, names, calibration), folder / FILE)
    _checked(folder / FILE)
    return plain


def axes(name: str, dimensions: tuple[int, ...]) -> list[str]:
    """Names of an input's free dimensions."""
    return ["rows" if dimension == 0 else f"{name}_{dimension}" for dimension in dimensions]


def _names(example: Inputs) -> list[str]:
    return [f"input_{number}" for number in range(len(example))]


def _checked(path: Path) -> Exported:
    onnx.checker.check_model(str(path), full_check=True)
    return Exported(path.parent, path.name)
