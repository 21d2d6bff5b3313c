"""An ONNX file with free sizes."""

from __future__ import annotations

import warnings
from pathlib import Path

import onnx
import torch

from marina.store.exporters import Exported, Free, Inputs
from marina.store.sources import Network
from marina.store.sources.onnx import OnnxFile

OPSET = 18


def export(network: Network, example: Inputs, free: Free, folder: Path) -> Exported:
    """Write the file by torch's tracing exporter, and check it."""
    path = folder / "model.onnx"
    if isinstance(network.module, OnnxFile):  # it came as one
        network.module.write(path)
        return _checked(path)
    names = [f"input_{number}" for number in range(len(example))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter announces its successor, which keeps the place it ran in
        torch.onnx.export(
            network.served,
            example,
            str(path),
            input_names=names,
            dynamic_axes={name: dict(zip(one, axes(name, one), strict=True)) for name, one in zip(names, free, strict=True)},
            opset_version=OPSET,
            dynamo=False,
        )
    return _checked(path)


def _checked(path: Path) -> Exported:
    onnx.checker.check_model(str(path), full_check=True)
    return Exported(path.parent, path.name)


def axes(name: str, dimensions: tuple[int, ...]) -> list[str]:
    """Names of an input's free dimensions."""
    return ["rows" if dimension == 0 else f"{name}_{dimension}" for dimension in dimensions]
