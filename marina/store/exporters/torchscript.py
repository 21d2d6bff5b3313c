"""A trace by ``torch.jit``, or a script."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch.jit._trace import TracerWarning

from marina.console import step
from marina.store.exporters import Exported, Free, Inputs
from marina.store.sources import Network


def export(network: Network, example: Inputs, _free: Free, folder: Path) -> Exported:
    """Trace the network; what the trace may have lost is said."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")  # also torch.jit's: deprecated since torch 2.11, works in 2.15
        traced = torch.jit.freeze(torch.jit.trace(network.module, example))
        torch.jit.save(traced, str(folder / "model.pt"))
    for warning in warned:
        if issubclass(warning.category, TracerWarning):
            step(f"warning: line {warning.lineno} of the network: {str(warning.message).splitlines()[0]}")
    return Exported(folder, "model.pt")


def script(network: Network, _example: Inputs, _free: Free, folder: Path) -> Exported:
    """Compile the network's own code, with its branches and loops."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit's: deprecated since torch 2.11, works in 2.15
        torch.jit.save(torch.jit.script(network.module), str(folder / "model.pt"))
    return Exported(folder, "model.pt")
