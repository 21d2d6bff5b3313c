"""An ONNX file, run by ONNX Runtime."""

from __future__ import annotations

from typing import Any

import onnxruntime
import torch

from handlerkit.runtimes import Setting, as_float32


class OnnxRuntime:
    """Runs the archive's ONNX file."""

    differentiable = False

    def __init__(self, setting: Setting) -> None:
        """Open a session on the setting's threads."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = setting.threads
        options.log_severity_level = 3
        wanted = ["CUDAExecutionProvider"] if setting.device.type == "cuda" else ["CPUExecutionProvider"]
        missing = set(wanted) - set(onnxruntime.get_available_providers())
        if missing:
            raise ValueError(f"device cuda: the installed onnxruntime has no {', '.join(missing)}")
        self.model = onnxruntime.InferenceSession(setting.path, options, providers=wanted)
        self._inputs = [one.name for one in self.model.get_inputs()]

    def __call__(self, *inputs: torch.Tensor) -> Any:
        """See ``Runtime``."""
        named = {name: one.detach().cpu().numpy() for name, one in zip(self._inputs, inputs, strict=True)}
        outputs = [torch.from_numpy(one) for one in self.model.run(None, named)]
        return as_float32(outputs[0] if len(outputs) == 1 else tuple(outputs))

    run = __call__
