"""A ``torch.export`` program with free sizes."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.export import ExportedProgram

from marina.store.exporters import Exported, Free, Inputs
from marina.store.sources import Network


def export(network: Network, example: Inputs, free: Free, folder: Path) -> Exported:
    """Write the program."""
    torch.export.save(program_of(network, example, free), folder / "model.pt2")
    return Exported(folder, "model.pt2")


def program_of(network: Network, example: Inputs, free: Free) -> ExportedProgram:
    """The network's graph, for any number of rows and any of the sizes that are free."""
    rows = torch.export.Dim("rows", min=1)
    shapes = tuple({one: rows if one == 0 else torch.export.Dim.DYNAMIC for one in dimensions} for dimensions in free)
    return torch.export.export(network.module, example, dynamic_shapes=shapes, strict=True)
