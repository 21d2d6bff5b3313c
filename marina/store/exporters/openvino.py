"""An OpenVINO model, converted from the network's trace."""

from __future__ import annotations

import warnings
from pathlib import Path

import openvino
import torch

from marina.store.exporters import Exported, Free, Inputs
from marina.store.exporters.torchscript import readable
from marina.store.sources import Network


def export(network: Network, example: Inputs, free: Free, folder: Path) -> Exported:
    """Write ``model.xml`` and ``model.bin`` in full precision; a worker chooses its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(readable(network.served), example)
        shapes = [
            openvino.PartialShape([-1 if number in dimensions else size for number, size in enumerate(one.shape)])
            for one, dimensions in zip(example, free, strict=True)
        ]
        model = openvino.convert_model(traced, example_input=example, input=shapes)
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)
    return Exported(folder, "model.xml", extra_files=("model.bin",))
