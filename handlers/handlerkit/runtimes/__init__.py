"""How a network is run: one small class each, in a file of its own, and handlers don't know which they have."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Protocol

import torch


class Runtime(Protocol):
    """A network that is loaded and can be run.

    Attributes:
        differentiable: whether gradients reach the input, so that explanations may use them.
        model: what is run, for a handler that knows more of it than we do.
    """

    differentiable: bool
    model: Any

    def __init__(self, folder: Path, manifest: dict[str, Any], device: torch.device) -> None: ...

    def run(self, inputs: torch.Tensor) -> torch.Tensor:
        """The network's output for inputs of shape [rows, …], on the device of the runtime, without gradients."""


RUNTIMES = {"torchscript": "TorchScriptRuntime", "eager": "EagerRuntime"}


def load_runtime(name: str, folder: Path, manifest: dict[str, Any], device: torch.device) -> Runtime:
    """The runtime ``name`` with the network of the archive unpacked in ``folder``.

    Only the runtime that the archive names is imported.

    Raises:
        ValueError: there is no such runtime.
    """
    if name not in RUNTIMES:
        raise ValueError(f"unknown runtime '{name}'; there are: {', '.join(RUNTIMES)}")
    module = importlib.import_module(f"handlerkit.runtimes.{name}")
    runtime: Runtime = getattr(module, RUNTIMES[name])(folder, manifest, device)
    return runtime
