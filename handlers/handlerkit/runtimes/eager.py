"""A network as Python code and a state dict, run as it is, or compiled."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import torch

from handlerkit.runtimes import Setting, as_float32


class EagerRuntime:
    """Runs the class in the archive's model file with the weights of its serialised file."""

    differentiable = True

    def __init__(self, setting: Setting) -> None:
        """Build the model file's one network, without arguments, and give it its weights; no pickled code is run."""
        if setting.model_file is None:
            raise ValueError("the archive names no model file, which the eager runtime needs")
        self.model = _network_class(Path(setting.model_file).stem)()
        self.model.load_state_dict(torch.load(setting.path, map_location="cpu", weights_only=True))
        self.model.to(setting.device).eval()
        if setting.precision == "bf16":
            self.model.to(torch.bfloat16)
        if setting.channels_last:
            self.model.to(memory_format=torch.channels_last)
        self._setting = setting
        method = getattr(self.model, setting.method) if setting.method != "forward" else self.model
        self._forward = method
        self._run = torch.compile(method) if setting.compile else method

    def __call__(self, *inputs: torch.Tensor) -> Any:
        """See ``Runtime``."""
        return as_float32(self._forward(*map(self._setting.laid_out, inputs)))

    def run(self, *inputs: torch.Tensor) -> Any:
        """See ``Runtime``."""
        with torch.no_grad():  # not inference_mode: what a network caches in it, an explanation could not differentiate
            return as_float32(self._run(*map(self._setting.laid_out, inputs)))


def _network_class(module_name: str) -> type[torch.nn.Module]:
    module = importlib.import_module(module_name)
    classes = [
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if member.__module__ == module.__name__ and issubclass(member, torch.nn.Module)
    ]
    if len(classes) != 1:
        raise ValueError(f"{module_name}.py must define exactly one torch.nn.Module; it defines {len(classes)}")
    return classes[0]
