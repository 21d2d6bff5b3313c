"""A ``torch.export`` program with free sizes."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path

import torch
from torch import nn
from torch.export import ExportedProgram

from marina.store.exporters import Exported, Free, Inputs
from marina.store.sources import Network
from marina.store.sources.export import Program


def export(network: Network, example: Inputs, free: Free, folder: Path) -> Exported:
    """Write the program."""
    torch.export.save(program_of(network, example, free), folder / "model.pt2")
    return Exported(folder, "model.pt2")


def program_of(network: Network, example: Inputs, free: Free) -> ExportedProgram:
    """The network's graph, for any number of rows and any of the sizes that are free."""
    if isinstance(network.module, Program):  # it came as one
        return network.module.program
    return exported_by_torch(network.served, example, free)


def exported_by_torch(module: nn.Module, example: Inputs, free: Free) -> ExportedProgram:
    """The module's graph, for any number of rows and any of the sizes that are free."""
    rows = torch.export.Dim("rows", min=1)
    shapes = torch.export.ShapesCollection()
    for one, dimensions in zip(example, free, strict=True):
        shapes[one] = {number: rows if number == 0 else torch.export.Dim.DYNAMIC for number in dimensions}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "While compiling, we found certain side effects")  # as self.dropout.train()
        with contextlib.redirect_stderr(io.StringIO()):  # where it fails it prints the whole graph, beside its reason
            return torch.export.export(module, example, dynamic_shapes=shapes, strict=True)
