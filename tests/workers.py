"""A worker without Java: an unpacked archive with a tiny real network, loaded and asked by TorchServe's own code."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ts.context import Context, RequestProcessor
from ts.metrics.metric_cache_yaml_impl import MetricsCacheYamlImpl

from marina import paths


@dataclass
class Answer:
    """What one row was answered."""

    status: int
    body: Any
    headers: dict[str, str]


class Worker:
    """A handler, initialized as a worker initializes it."""

    def __init__(self, handler: Any, folder: Path, config: dict[str, Any], version: str = "1.0") -> None:
        metrics = MetricsCacheYamlImpl(str(paths.METRICS_CONFIG))
        metrics.initialize_cache()
        manifest = {"model": {"modelName": "tiny", "modelVersion": version, "serializedFile": "model.pt"}}
        if (folder / "network.py").exists():
            manifest["model"]["modelFile"] = "network.py"
        self.context = Context("tiny", str(folder), manifest, 8, None, "0.12.0", metrics=metrics, model_yaml_config=config)
        self.handler = handler
        handler.initialize(self.context)

    def ask(self, *rows: dict[str, Any], headers: list[dict[str, str]] | None = None) -> list[Answer]:
        """The answers to a batch of rows, each of which may have headers."""
        given = headers or [{} for _ in rows]
        self.context.request_ids = {index: f"id-{index}" for index in range(len(rows))}
        self.context.metrics.request_ids = self.context.request_ids
        self.context.request_processor = [RequestProcessor(dict(one)) for one in given]
        bodies = self.handler.handle(list(rows), self.context)
        return [self._answer(index, body) for index, body in enumerate(bodies)]

    def _answer(self, index: int, body: Any) -> Answer:
        headers = self.context.get_response_headers(index)
        is_json = headers.get("content-type") == "application/json"
        return Answer(self.context.get_response_status(index)[0], json.loads(body) if is_json else body, headers)


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
