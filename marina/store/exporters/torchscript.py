"""A trace by ``torch.jit``, or a script."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import nn
from torch.jit._trace import TracerWarning

from marina.console import step
from marina.store.exporters import Exported, Free, Inputs
from marina.store.sources import Network


def export(network: Network, example: Inputs, _free: Free, folder: Path) -> Exported:
    """Trace the network; what the trace may have lost is said."""
    if isinstance(network.module, torch.jit.ScriptModule):  # it came as one, and keeps its attributes and methods
        torch.jit.save(network.module, str(folder / "model.pt"))
        return Exported(folder, "model.pt")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")  # also torch.jit's: deprecated since torch 2.11, works in 2.15
        module = readable(network.served)
        traced = torch.jit.freeze(torch.jit.trace(module, example, check_trace=False))  # parity compares, on other inputs too
        torch.jit.save(traced, str(folder / "model.pt"))
    for warning in warned:
        if issubclass(warning.category, TracerWarning):
            step(f"warning: line {warning.lineno} of the network: {str(warning.message).splitlines()[0]}")
    return Exported(folder, "model.pt")


def script(network: Network, _example: Inputs, _free: Free, folder: Path) -> Exported:
    """Compile the network's own code, with its branches and loops."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit's: deprecated since torch 2.11, works in 2.15
        scripted = torch.jit.script(readable(network.module))
        if not scripted._c._has_method(network.method):
            raise ValueError(f"{network.method} is not scripted: write @torch.jit.export above it")
        torch.jit.save(scripted, str(folder / "model.pt"))
    return Exported(folder, "model.pt")


def readable(module: nn.Module) -> nn.Module:
    """The module, where torch.jit may read all its properties: a LightningModule's own refuse to be, but for this switch."""
    for part in module.modules():
        if hasattr(part, "_jit_is_scripting"):
            part._jit_is_scripting = True  # type: ignore[assignment]  # as Lightning's to_torchscript does
    return module
