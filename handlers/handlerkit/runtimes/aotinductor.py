"""A network compiled ahead of time by AOTInductor, for the processor it was built on."""

from __future__ import annotations

from typing import Any

import torch

from handlerkit import machine
from handlerkit.runtimes import Setting, as_float32


class AOTInductorRuntime:
    """Runs the compiled package."""

    differentiable = False

    def __init__(self, setting: Setting) -> None:
        """Load the package, if this processor can run it; a bf16 one was exported as such."""
        machine.check_processor(setting.folder / "processor.txt")
        self.model = torch._inductor.aoti_load_package(setting.path)
        self._setting = setting

    def __call__(self, *inputs: torch.Tensor) -> Any:
        """See ``Runtime``."""
        return as_float32(self.model(*map(self._setting.laid_out, inputs)))

    def run(self, *inputs: torch.Tensor) -> Any:
        """See ``Runtime``."""
        with torch.inference_mode():
            return self(*inputs)
