"""A ``torch.export`` program (``.pt2``): the network's graph, without its Python."""

from __future__ import annotations

from typing import Any

import torch

from handlerkit.runtimes import Setting, as_float32


class ExportRuntime:
    """Runs the program's module."""

    differentiable = True

    def __init__(self, setting: Setting) -> None:
        """Load the program; a bf16 one was exported as such."""
        program = torch.export.load(setting.path)
        self.model = program.module().to(setting.device)
        self._setting = setting

    def __call__(self, *inputs: torch.Tensor) -> Any:
        """See ``Runtime``."""
        return as_float32(self.model(*map(self._setting.laid_out, inputs)))

    def run(self, *inputs: torch.Tensor) -> Any:
        """See ``Runtime``."""
        with torch.no_grad():  # not inference_mode: what a network caches in it, an explanation could not differentiate
            return self(*inputs)
