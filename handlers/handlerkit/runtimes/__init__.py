"""How a network is run: one small class each, in a file of its own, and handlers don't know which they have."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch

Precision = Literal["fp32", "bf16", "int8"]


@dataclass(frozen=True)
class Setting:
    """Where and how a runtime runs, as the archive and the machine have it.

    Attributes:
        folder: the unpacked archive.
        serialized_file: the network's file in it.
        model_file: Python file that defines it, in eager mode.
        method: of the network, that is called; ``forward`` where nothing else is said.
        device: to run on.
        threads: to use on a CPU.
        precision: of the network's own arithmetic; inputs and outputs stay float32. An int8 network was made so by the build.
        channels_last: whether images are laid out with their channels last, which is faster on most CPUs.
        compile: whether ``torch.compile`` is used, in eager mode.
    """

    folder: Path
    serialized_file: str
    model_file: str | None = None
    method: str = "forward"
    device: torch.device = torch.device("cpu")  # noqa: RUF009 - immutable
    threads: int = 1
    precision: Precision = "fp32"
    channels_last: bool = False
    compile: bool = False

    @property
    def path(self) -> str:
        """The network's file."""
        return str(self.folder / self.serialized_file)

    def laid_out(self, inputs: torch.Tensor) -> torch.Tensor:
        """Inputs on the device, in the layout and the precision that the network takes."""
        inputs = inputs.to(self.device)
        if inputs.is_floating_point():
            inputs = inputs.to(torch.bfloat16 if self.precision == "bf16" else torch.float32)
        if self.channels_last and inputs.ndim == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        return inputs


class Runtime(Protocol):
    """A network that is loaded and can be run.

    Attributes:
        differentiable: whether gradients reach the input, so that explanations may use them.
        model: what is run, for a handler that knows more of it than we do.
    """

    differentiable: bool
    model: Any

    def __init__(self, setting: Setting) -> None: ...

    def __call__(self, *inputs: torch.Tensor) -> Any:
        """The network's output, with gradients where it is differentiable and they are on."""

    def run(self, *inputs: torch.Tensor) -> Any:
        """The network's output for inputs of shape [rows, …]: float32 where it is a floating tensor, without gradients."""


RUNTIMES = {
    "eager": "EagerRuntime",
    "torchscript": "TorchScriptRuntime",
    "export": "ExportRuntime",
    "aotinductor": "AOTInductorRuntime",
    "onnx": "OnnxRuntime",
    "openvino": "OpenVinoRuntime",
}
INT8 = ("aotinductor", "onnx", "openvino")


def load_runtime(name: str, setting: Setting) -> Runtime:
    """The runtime ``name`` with the archive's network; nothing of the other runtimes is imported.

    Raises:
        ValueError: there is no such runtime, or it cannot do what the setting asks.
    """
    if name not in RUNTIMES:
        raise ValueError(f"unknown runtime '{name}'; there are: {', '.join(RUNTIMES)}")
    if setting.precision == "int8" and name not in INT8:
        raise ValueError(f"runtime {name}: no precision int8; there is for: {', '.join(INT8)}")
    module = importlib.import_module(f"handlerkit.runtimes.{name}")
    runtime: Runtime = getattr(module, RUNTIMES[name])(setting)
    return runtime


def as_float32(output: Any) -> Any:
    """An output with its floating tensors as float32, whatever holds them."""
    if isinstance(output, torch.Tensor):
        return output.float() if output.is_floating_point() else output
    if isinstance(output, dict):
        return {name: as_float32(value) for name, value in output.items()}
    if isinstance(output, (list, tuple)):
        return type(output)(as_float32(value) for value in output)
    return output
