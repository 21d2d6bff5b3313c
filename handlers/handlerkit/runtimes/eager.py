"""A network as Python code and a state dict, run as it is."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import torch


class EagerRuntime:
    """Runs the class in the archive's model file with the weights of its serialised file."""

    differentiable = True

    def __init__(self, folder: Path, manifest: dict[str, Any], device: torch.device) -> None:
        """Build the model file's one class, without arguments, and give it its weights; no pickled code is run."""
        self.model = _network_class(Path(manifest["model"]["modelFile"]).stem)()
        weights = torch.load(folder / manifest["model"]["serializedFile"], map_location=device, weights_only=True)
        self.model.load_state_dict(weights)
        self.model.to(device).eval()
        self._device = device

    def run(self, inputs: torch.Tensor) -> torch.Tensor:
        """See ``Runtime.run``."""
        with torch.inference_mode():
            output: torch.Tensor = self.model(inputs.to(self._device))
        return output


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
