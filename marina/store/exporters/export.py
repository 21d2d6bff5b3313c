"""A ``torch.export`` program with a free number of rows."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.export import ExportedProgram

from marina.store.exporters import Exported, Inputs
from marina.store.sources import Network


def export(network: Network, example: Inputs, folder: Path) -> Exported:
    """Write the program."""
    torch.export.save(program_of(network, example), folder / "model.pt2")
    return Exported(folder, "model.pt2")


def program_of(network: Network, example: Inputs) -> ExportedProgram:
    """The network's graph, for any number of rows."""
    rows = torch.export.Dim("rows", min=1)
    return torch.export.export(network.module, example, dynamic_shapes=tuple({0: rows} for _ in example), strict=True)
