"""A trace by ``torch.jit``, or a script."""

from __future__ import annotations

import re
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.jit._trace import TracerWarning

from marina.store.exporters import Exported, Free, Inputs
from marina.store.sources import Network

_LIBRARIES = re.compile(r"[/\\\\](site-packages|torch|marina)[/\\\\]|[/\\\\]lib[/\\\\]python|^<frozen")


def export(network: Network, example: Inputs, _free: Free, folder: Path) -> Exported:
    """Trace the network; what the trace may have lost is told."""
    if isinstance(network.module, torch.jit.ScriptModule):  # it came as one, and keeps its attributes and methods
        torch.jit.save(network.module, str(folder / "model.pt"))
        return Exported(folder, "model.pt")
    module, lost = traced(network, example)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit's: deprecated since torch 2.11, works in 2.15
        torch.jit.save(torch.jit.freeze(module), str(folder / "model.pt"))
    return Exported(folder, "model.pt", warnings=lost)


def script(network: Network, _example: Inputs, _free: Free, folder: Path) -> Exported:
    """Compile the network's own code, with its branches and loops."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit's: deprecated since torch 2.11, works in 2.15
        scripted = torch.jit.script(readable(network.module))
        if not scripted._c._has_method(network.method):
            raise ValueError(f"{network.method} is not scripted: write @torch.jit.export above it")
        torch.jit.save(scripted, str(folder / "model.pt"))
    return Exported(folder, "model.pt")


def traced(network: Network, example: Inputs) -> tuple[Any, tuple[str, ...]]:
    """What the network does with the example, recorded; and where that may not be all that it does."""
    with noticing_losses() as lost:
        # parity compares, on other inputs too; outputs may be a dictionary
        module = torch.jit.trace(readable(network.served), example, check_trace=False, strict=False)
    return module, tuple(lost)


@contextmanager
def noticing_losses() -> Iterator[list[str]]:
    """Collect where a trace made within may lose a branch, or a value that was computed.

    Other warnings are left out: what torch.jit says of itself, by a trace or by the ONNX exporter, is of no use to a user.
    """
    lost: dict[str, str] = {}

    def note(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        if issubclass(category, TracerWarning):
            what = str(message).splitlines()[0].partition(". ")[0]
            lost.setdefault(_own_line(), what.removesuffix("."))

    found: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = note  # while the warning is issued its caller can still be seen
        yield found
    found += [f"{where}: {what}" for where, what in lost.items()]


def _own_line() -> str:
    """The innermost line that is being run and is no part of a library: the person's own."""
    frames = [frame for frame in reversed(traceback.extract_stack()) if not _LIBRARIES.search(frame.filename)]
    return f"{frames[0].filename.strip('<>')}, line {frames[0].lineno}, '{frames[0].line}'" if frames else "a library"


def readable(module: nn.Module) -> nn.Module:
    """The module, where torch.jit may read all its properties: a LightningModule's own refuse to be, but for this switch."""
    for part in module.modules():
        if hasattr(part, "_jit_is_scripting"):
            part._jit_is_scripting = True  # type: ignore[assignment]  # as Lightning's to_torchscript does
    return module
