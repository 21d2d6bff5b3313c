"""The base of every handler here: TorchServe's three stages, answered row by row.

    TorchServe rows ─► Batch ─► preprocess ─► inference ─► postprocess ─► replies
                                    │                           │
                              preprocess_row              postprocess_row

A handler for one task writes the two row hooks; one that needs the whole batch overrides a stage.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from ts.torch_handler.base_handler import BaseHandler

from handlerkit.batch import Batch, Kind, Row
from handlerkit.description import content_digest
from handlerkit.errors import BadRequest, RequestError, ServerFault
from handlerkit.metrics import Meter
from handlerkit.runtimes import Runtime, load_runtime

logger = logging.getLogger(__name__)
CONFIG_KEY = "handlerkit"


class ModelHandler(BaseHandler):
    """Knows TorchServe's contract, so that handlers need not.

    Attributes:
        runtime: the loaded network.
        options: the handler's own options, as the archive has them.
        labels: names of the classes, by index; empty where the archive has none.
        version: the version in the archive's manifest; it is the ``X-Model-Version`` of every answer.
    """

    runtime: Runtime
    options: dict[str, Any]
    labels: Sequence[str]
    version: str

    def initialize(self, context: Any) -> None:
        """Load the archive that the context names. Whatever is wrong with it is raised here, not at a request.

        Raises:
            ValueError: the archive was not built by Marina, or an option does not fit.
        """
        config = (context.model_yaml_config or {}).get(CONFIG_KEY)
        if config is None:
            raise ValueError(f"model-config.yaml has no '{CONFIG_KEY}' section: build the archive with scripts/build_mar.py")
        self.context = context
        self.manifest = context.manifest
        self.device = _device(context.system_properties.get("gpu_id"))
        self._folder = Path(context.system_properties["model_dir"])
        self._runtime_name = config["runtime"]
        self.runtime = load_runtime(self._runtime_name, self._folder, self.manifest, self.device)
        self.model = self.runtime.model
        self.options = config.get("options") or {}
        self.labels = config.get("labels") or []
        self.mapping = {str(index): label for index, label in enumerate(self.labels)}
        self.version = str(self.manifest["model"]["modelVersion"])
        self._meter = Meter(context.metrics, context.model_name, self.version)
        self.initialized = True

    # The stages, in the order in which data passes them.

    def preprocess(self, batch: Batch) -> Any:
        """Inputs of the rows that ``preprocess_row`` takes, stacked: shape [rows, …]; the other rows are refused."""
        inputs = [_attempt(row, self.preprocess_row) for row in batch]
        accepted = [tensor for tensor in inputs if tensor is not None]
        return torch.stack(accepted) if accepted else torch.empty(0)

    def preprocess_row(self, row: Row) -> torch.Tensor:
        """The network's input for one row, without the batch's dimension.

        Raises:
            RequestError: the row is no input for this model; it is refused with the error's text.
        """
        raise NotImplementedError(f"{type(self).__name__} defines neither preprocess_row nor preprocess")

    def inference(self, inputs: Any) -> Any:
        """The network's output for inputs of shape [rows, …]."""
        return self.runtime.run(inputs)

    def postprocess(self, outputs: Any, batch: Batch) -> list[Any]:
        """One answer, a JSON value, for each row of the batch; ``outputs[i]`` belongs to ``batch[i]``."""
        return [self.postprocess_row(output, row) for output, row in zip(outputs, batch, strict=True)]

    def postprocess_row(self, output: torch.Tensor, row: Row) -> Any:
        """The answer for one row, a JSON value, from its share of the network's output."""
        raise NotImplementedError(f"{type(self).__name__} defines neither postprocess_row nor postprocess")

    def explain_row(self, tensor: torch.Tensor, row: Row) -> Any:
        """The explanation for one row, a JSON value; ``tensor`` is what ``preprocess_row`` made of it."""
        raise BadRequest(f"This model has no explanations ({type(self).__name__} defines none).")

    def describe(self) -> dict[str, Any]:
        """What was loaded: the description that the Management API shows on request."""
        return {
            "handler": type(self).__name__,
            "runtime": self._runtime_name,
            "device": str(self.device),
            "content_sha256": content_digest(self._folder),
            "labels": list(self.labels),
        }

    # From TorchServe's rows to its replies.

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[str | bytes]:
        """Answer a batch: each row as it asks, and none at the cost of another."""
        started = time.perf_counter()
        batch = Batch.read(data, context)
        answers: dict[Kind, Callable[[Batch], None]] = {
            "predict": self._predict,
            "explain": self._explain,
            "describe": self._describe,
        }
        for kind, answer in answers.items():
            self._settle(batch.of_kind(kind), answer)
        bodies = batch.write(context, {"X-Model-Version": self.version})
        self._meter.batch(batch, time.perf_counter() - started)
        return bodies

    def _settle(self, rows: Batch, answer: Callable[[Batch], None]) -> None:
        """Answer rows together; if that raises, in halves, until the row at fault stands alone and is refused."""
        if not rows:
            return
        try:
            answer(rows)
        except Exception as error:
            if _hurts_the_process(error):
                raise
            if len(rows) > 1:
                for half in rows.halves():
                    self._settle(half.open, answer)
            else:
                rows[0].refuse(_refusal(rows[0], error))

    def _predict(self, rows: Batch) -> None:
        inputs = self.preprocess(rows)
        accepted = rows.open
        if accepted:
            answers = _call_postprocess(self.postprocess, self.inference(inputs), accepted)
            for row, answer in zip(accepted, answers, strict=True):
                row.reply(answer)

    def _explain(self, rows: Batch) -> None:
        inputs = self.preprocess(rows)
        for tensor, row in zip(inputs, rows.open, strict=True):
            row.reply(self.explain_row(tensor, row))

    def _describe(self, rows: Batch) -> None:
        description = self.describe()
        for row in rows:
            row.reply(description)


def _device(gpu_id: int | None) -> torch.device:
    if gpu_id is not None and torch.cuda.is_available():
        return torch.device(f"cuda:{gpu_id}")
    return torch.device("cpu")


def _attempt(row: Row, hook: Callable[[Row], torch.Tensor]) -> torch.Tensor | None:
    try:
        return hook(row)
    except RequestError as error:
        row.refuse(error)
        return None


def _call_postprocess(stage: Callable[..., list[Any]], outputs: Any, batch: Batch) -> list[Any]:
    """Call the stage with the batch where it asks for it; handlers written for BaseHandler take the outputs alone."""
    named = [one for one in inspect.signature(stage).parameters.values() if one.kind is one.POSITIONAL_OR_KEYWORD]
    return stage(outputs, batch) if len(named) > 1 else stage(outputs)


def _hurts_the_process(error: Exception) -> bool:
    """Whether other rows would suffer too: TorchServe answers these with 507."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "CUDA" in str(error))


def _refusal(row: Row, error: Exception) -> RequestError:
    if isinstance(error, RequestError):
        return error
    logger.error("request %s failed in the model", row.request_id, exc_info=error)
    return ServerFault(row.request_id)
