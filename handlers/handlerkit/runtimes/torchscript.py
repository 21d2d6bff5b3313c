"""A network traced or scripted by ``torch.jit``: one file, no Python of its own."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from handlerkit.runtimes import Setting, as_float32


class TorchScriptRuntime:
    """Runs the archive's serialised file with ``torch.jit``."""

    differentiable = True

    def __init__(self, setting: Setting) -> None:
        """Load the file; a bf16 one was exported as such."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)  # deprecated since torch 2.11, works in 2.15
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            self.model = _load(setting).eval()
        self._setting = setting
        self._method = getattr(self.model, setting.method)

    def __call__(self, *inputs: torch.Tensor) -> Any:
        """See ``Runtime``."""
        return as_float32(self._method(*map(self._setting.laid_out, inputs)))

    def run(self, *inputs: torch.Tensor) -> Any:
        """See ``Runtime``."""
        with torch.no_grad():  # not inference_mode: what a network caches in it, an explanation could not differentiate
            return self(*inputs)


def _load(setting: Setting) -> Any:
    try:
        return torch.jit.load(setting.path, map_location=setting.device)
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        import torchvision  # noqa: F401 - brings the operators that a detector of torchvision calls, and only such a one

        return torch.jit.load(setting.path, map_location=setting.device)
