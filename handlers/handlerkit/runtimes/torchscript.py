"""A network traced or scripted by ``torch.jit``: one file, no Python of its own."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch


class TorchScriptRuntime:
    """Runs the archive's serialised file with ``torch.jit``."""

    differentiable = True

    def __init__(self, folder: Path, manifest: dict[str, Any], device: torch.device) -> None:
        """Load the file that the manifest names as ``serializedFile``."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)  # deprecated since torch 2.11, works in 2.15
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            self.model = torch.jit.load(str(folder / manifest["model"]["serializedFile"]), map_location=device).eval()
        self._device = device

    def run(self, inputs: torch.Tensor) -> torch.Tensor:
        """See ``Runtime.run``."""
        with torch.inference_mode():
            output: torch.Tensor = self.model(inputs.to(self._device))
        return output
