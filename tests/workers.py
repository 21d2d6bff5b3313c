"""What our own tests load into a worker: tiny networks, and settings as the build writes them."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch
from handlerkit.testing import Answer, Worker

__all__ = ["Answer", "Worker", "config", "image_classifier", "traced"]


def traced(folder: Path, network: torch.nn.Module, shape: tuple[int, ...]) -> Path:
    """The folder, with the network traced for inputs of a shape as its serialised file."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.jit.save(torch.jit.trace(network.eval(), torch.zeros(2, *shape)), str(folder / "model.pt"))
    return folder


def config(
    options: dict[str, Any] | None = None, labels: list[str] | None = None, runtime: str = "torchscript"
) -> dict[str, Any]:
    """A model-config.yaml as the build writes it."""
    return {"handlerkit": {"runtime": runtime, "options": options or {}, "labels": labels or []}}


def image_classifier() -> Any:
    """A new image classifier, as TorchServe finds it: by its module."""
    return importlib.import_module("image_classifier").ImageClassifier()
