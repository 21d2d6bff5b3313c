"""An OpenVINO model (``.xml`` with its ``.bin``), compiled for this machine's CPU when it is loaded."""

from __future__ import annotations

from typing import Any

import openvino
import torch

from handlerkit.runtimes import Setting, as_float32

PRECISIONS = {"fp32": openvino.Type.f32, "bf16": openvino.Type.bf16, "int8": openvino.Type.f32}  # int8: of the layers that stayed


class OpenVinoRuntime:
    """Runs the archive's OpenVINO model on the CPU."""

    differentiable = False

    def __init__(self, setting: Setting) -> None:
        """Compile the model for latency, on the setting's threads."""
        if setting.device.type != "cpu":
            raise ValueError("the openvino runtime runs on the CPU; build another runtime for cuda")
        core = openvino.Core()
        properties = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[setting.precision],
            "INFERENCE_NUM_THREADS": setting.threads,
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # pinned, each worker's threads take the first cores, and leave the others idle
        }
        self.model = core.compile_model(core.read_model(setting.path), "CPU", properties)
        self._request = self.model.create_infer_request()

    def __call__(self, *inputs: torch.Tensor) -> Any:
        """See ``Runtime``."""
        results = self._request.infer([one.detach().cpu().numpy() for one in inputs], share_inputs=True)
        outputs = [torch.from_numpy(results[port].copy()) for port in self.model.outputs]
        return as_float32(outputs[0] if len(outputs) == 1 else tuple(outputs))

    run = __call__
