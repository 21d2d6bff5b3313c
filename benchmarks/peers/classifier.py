"""The network that every peer serves, and what goes before and after it; the peer's server is all that differs.

Where it is told by the environment, since the peers start their workers in ways of their own:

    PEER_NETWORK   a state dict of torchvision's network (eager, fp32), or our OpenVINO model (.xml)
    PEER_PRECISION of an OpenVINO model: fp32, bf16 or int8
    PEER_THREADS   of one worker
    PEER_WORKERS   processes that compute
    PEER_BATCH     most rows together, where the peer batches
    PEER_PORT      to listen on
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torchvision import models, transforms

Answer = list[dict[str, Any]]
TOP = 5
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def number(name: str) -> int:
    """A number of the environment."""
    return int(os.environ[f"PEER_{name}"])


class Classifier:
    """torchvision's own preprocessing, the network, and the five best classes."""

    def __init__(self) -> None:
        path, threads = Path(os.environ["PEER_NETWORK"]), number("THREADS")
        torch.set_num_threads(threads)
        self._prepared = transforms.Compose(
            [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
        )
        self._network = _openvino(path, threads) if path.suffix == ".xml" else _eager(path)

    def prepare(self, content: bytes) -> torch.Tensor:
        """The network's input for a picture: float32, shape [3, 224, 224]."""
        prepared: torch.Tensor = self._prepared(Image.open(io.BytesIO(content)).convert("RGB"))
        return prepared

    def classify(self, images: Sequence[torch.Tensor]) -> list[Answer]:
        """The best classes of each image."""
        with torch.inference_mode():
            scores = self._network(torch.stack(list(images)))
            probabilities, classes = scores.softmax(dim=1).topk(TOP)
        return [
            [{"label": f"class {at}", "probability": share} for share, at in zip(*row, strict=True)]
            for row in zip(probabilities.tolist(), classes.tolist(), strict=True)
        ]


def _eager(path: Path) -> Callable[[torch.Tensor], torch.Tensor]:
    network: torch.nn.Module = models.get_model(path.stem, weights=None).eval()
    network.load_state_dict(torch.load(path, weights_only=True))
    return network


def _openvino(path: Path, threads: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Our runtime, as handlerkit.runtimes.openvino has it."""
    import openvino

    kind = openvino.Type.bf16 if os.environ["PEER_PRECISION"] == "bf16" else openvino.Type.f32
    properties = {"INFERENCE_PRECISION_HINT": kind, "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    properties["ENABLE_CPU_PINNING"] = False
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(path), "CPU", properties)

    def run(images: torch.Tensor) -> torch.Tensor:
        # A request of its own: some peers call from several threads at once.
        results = compiled.create_infer_request().infer([images.numpy()], share_inputs=True)
        return torch.from_numpy(results[compiled.outputs[0]])

    return run
