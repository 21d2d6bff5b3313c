"""The base of every handler here: TorchServe's three stages, answered row by row.

    TorchServe rows ─► Exchange ─► Batch ─► preprocess ─► inference ─► postprocess ─► Exchange ─► replies
                                               │                           │
                                         preprocess_row              postprocess_row

A handler for one task writes ``setup`` and the two row hooks; one that needs the whole batch overrides a stage.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import torch

from handlerkit import machine
from handlerkit.batch import Batch, Kind, Row
from handlerkit.description import content_digest
from handlerkit.errors import BadRequest, RequestError, ServerFault
from handlerkit.exchange import Exchange
from handlerkit.limits import Limits
from handlerkit.metrics import Meter
from handlerkit.options import read_options
from handlerkit.runtimes import Runtime, Setting, load_runtime
from handlerkit.stock import BaseHandler
from handlerkit.summary import Summaries
from handlerkit.telemetry import open_tracing
from handlerkit.tracing import Tracing

logger = logging.getLogger(__name__)
CONFIG_KEY = "handlerkit"
DECODERS = 4
WARM_UPS = 2


class ModelHandler(BaseHandler):
    """Knows TorchServe's contract, so that handlers need not.

    Attributes:
        runtime: the loaded network.
        options: the handler's own options, as the archive has them.
        limits: of a request.
        labels: names of the classes, by index; empty where the archive has none.
        version: the version in the archive's manifest; it is the ``X-Model-Version`` of every answer.
        meter: where a handler counts what it answered.
        tracing: the spans of its requests.
        folder: the unpacked archive.
        content_sha256: of all its files as they were when they were loaded, the manifest aside.
    """

    runtime: Runtime
    options: dict[str, Any]
    limits: Limits
    labels: Sequence[str]
    version: str
    meter: Meter
    tracing: Tracing
    summaries: Summaries
    folder: Path
    content_sha256: str

    def initialize(self, context: Any) -> None:
        """Load the archive that the context names. Whatever is wrong with it is raised here, not at a request.

        Raises:
            ValueError: the archive was not built by Marina, or the machine or an option does not fit.
        """
        config = (context.model_yaml_config or {}).get(CONFIG_KEY)
        if config is None:
            raise ValueError(f"model-config.yaml has no '{CONFIG_KEY}' section: build the archive with scripts/build_mar.py")
        self.context = context
        self.manifest = context.manifest
        self.folder = Path(context.system_properties["model_dir"])
        self.content_sha256 = content_digest(self.folder)  # of what is loaded now, whatever becomes of the files
        self.version = str(self.manifest["model"]["modelVersion"])
        self.options = config.get("options") or {}
        self.limits = read_options(Limits, config.get("limits") or {})
        self.labels = config.get("labels") or []
        self.mapping = {str(index): label for index, label in enumerate(self.labels)}
        self.meter = Meter(context.metrics, context.model_name, self.version)
        self.summaries = Summaries(context.model_name, self.version)
        self._load(config, context)
        self.tracing = open_tracing(context.model_name, self.version, self._runtime_name)
        self._decoders = ThreadPoolExecutor(min(DECODERS, machine.cores()), thread_name_prefix="decode")
        self._takes_batch = _takes_batch(self.postprocess)
        self.setup()
        self.initialized = True
        self._warm_up(config.get("sample"), context.system_properties.get("batch_size") or 1)

    def setup(self) -> None:
        """Read the handler's options, once the archive is loaded; what is raised here fails the load."""

    # The stages, in the order in which data passes them.

    def preprocess(self, batch: Batch) -> Any:
        """Inputs of the rows that ``preprocess_row`` takes, stacked: shape [rows, …]; the other rows are refused."""
        accepted = self.read(batch)
        return torch.stack(accepted) if accepted else torch.empty(0)

    def read(self, batch: Batch) -> list[Any]:
        """What ``preprocess_row`` makes of the rows that it takes, several at a time; the other rows are refused."""
        attempts = self._decoders.map(self._attempt, batch) if len(batch) > 1 else map(self._attempt, batch)
        return [made for made in attempts if made is not None]

    def preprocess_row(self, row: Row) -> Any:
        """The network's input for one row, without the batch's dimension. Runs beside other rows' in a thread.

        Raises:
            RequestError: the row is no input for this model; it is refused with the error's text.
        """
        raise NotImplementedError(f"{type(self).__name__} defines neither preprocess_row nor preprocess")

    def inference(self, inputs: Any) -> Any:
        """The network's output for inputs of shape [rows, …]."""
        return self.runtime.run(inputs)

    def postprocess(self, outputs: Any, batch: Batch) -> list[Any]:
        """One answer, a JSON value, text or bytes, for each row of the batch; ``outputs[i]`` belongs to ``batch[i]``."""
        return [self.postprocess_row(output, row) for output, row in zip(outputs, batch, strict=True)]

    def postprocess_row(self, output: Any, row: Row) -> Any:
        """The answer for one row, a JSON value, from its share of the network's output."""
        raise NotImplementedError(f"{type(self).__name__} defines neither postprocess_row nor postprocess")

    def explain_row(self, tensor: Any, row: Row) -> Any:
        """The explanation for one row, a JSON value; ``tensor`` is what ``preprocess_row`` made of it."""
        raise BadRequest(f"This model has no explanations ({type(self).__name__} defines none).")

    def describe(self) -> dict[str, Any]:
        """What was loaded: the description that the Management API shows on request."""
        return {
            "handler": type(self).__name__,
            "runtime": self._runtime_name,
            "precision": self._setting.precision,
            "device": str(self.device),
            "threads": self._setting.threads,
            "content_sha256": self.content_sha256,
            "labels": list(self.labels),
        }

    # From TorchServe's rows to its replies.

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[str | bytes]:
        """Answer a batch: each row as it asks, and none at the cost of another."""
        started, taken = time.perf_counter(), self.tracing.now()
        exchange = Exchange.read(data, context, self.version, self.limits)
        batch = exchange.batch
        answers: dict[Kind, Callable[[Batch], None]] = {
            "predict": self._predict,
            "explain": self._explain,
            "describe": self._describe,
        }
        try:
            for kind, answer in answers.items():
                self._settle(batch.of_kind(kind), answer)
            bodies = exchange.write(context, self.version)
            seconds = time.perf_counter() - started
            self.meter.batch(batch, seconds)
            self.summaries.note(batch, seconds)
        finally:
            self.tracing.answered(exchange, taken)  # the requests that end a worker, too
        return bodies

    def _settle(self, rows: Batch, answer: Callable[[Batch], None]) -> None:
        """Answer rows together; if that raises, in halves, until the row at fault stands alone and is refused."""
        if not rows:
            return
        try:
            answer(rows)
        except Exception as error:
            if _hurts_the_process(error):
                logger.critical("the worker ends, to be started anew: %s", type(error).__name__, exc_info=error)
                raise SystemExit(1) from error
            if len(rows) > 1:
                for half in rows.halves():
                    self._settle(half.open, answer)
            else:
                rows[0].refuse(_refusal(rows[0], error))

    def _predict(self, rows: Batch) -> None:
        with self.meter.stage("preprocess"), self.tracing.stage("preprocess", rows):
            inputs = self.preprocess(rows)
        accepted = rows.open
        if not accepted:
            return
        with self.meter.stage("inference"), self.tracing.stage("inference", accepted):
            outputs = self.inference(inputs)
        outputs, accepted = _finite(outputs, accepted)
        with self.meter.stage("postprocess"), self.tracing.stage("postprocess", accepted):
            for row, answer in zip(accepted, self._postprocessed(outputs, accepted), strict=True):
                if row.is_open:
                    row.reply(answer)

    def _postprocessed(self, outputs: Any, batch: Batch) -> list[Any]:
        """Call the stage with the batch where it asks for it; handlers written for BaseHandler take the outputs alone."""
        if not batch:
            return []
        stage: Callable[..., list[Any]] = self.postprocess
        return stage(outputs, batch) if self._takes_batch else stage(outputs)

    def _explain(self, rows: Batch) -> None:
        with self.tracing.stage("preprocess", rows):
            inputs = self.preprocess(rows)
        with self.meter.stage("explain"):
            for tensor, row in zip(_by_row(inputs), rows.open, strict=True):
                self._settle(Batch([row]), partial(self._explain_one, tensor))

    def _explain_one(self, tensor: Any, rows: Batch) -> None:
        (row,) = rows
        with self.tracing.stage("explain", rows):
            answer = self.explain_row(tensor, row)
        if row.is_open:  # else the hook has answered by itself, with bytes of a type of its own
            row.reply(answer)

    def _describe(self, rows: Batch) -> None:
        description = self.describe()
        for row in rows:
            row.reply(description)

    def _attempt(self, row: Row) -> Any:
        try:
            return self.preprocess_row(row)
        except RequestError as error:
            row.refuse(error)
            return None

    # Loading.

    def _load(self, config: dict[str, Any], context: Any) -> None:
        running = config.get("running") or {}
        self.device = machine.device(context.system_properties.get("gpu_id"), running.get("device"))
        if running.get("precision") == "bf16":
            machine.check_bf16(self.device)
        threads = machine.threads((context.model_yaml_config or {}).get("minWorkers") or 1, running.get("threads"))
        torch.set_num_threads(threads)
        model = self.manifest["model"]
        chosen = {name: running[name] for name in ("precision", "channels_last", "compile", "method") if name in running}
        self._setting = Setting(
            self.folder, model["serializedFile"], model.get("modelFile"), device=self.device, threads=threads, **chosen
        )
        self._runtime_name = config["runtime"]
        self.runtime = load_runtime(self._runtime_name, self._setting)
        self.model = self.runtime.model

    def _warm_up(self, sample: dict[str, Any] | None, batch_size: int) -> None:
        """Answer the archive's sample, alone and as a full batch, so that the first caller waits no longer than others.

        A subclass that does more in ``initialize`` than we do is not ready here, and is left cold.

        Raises:
            ValueError: it is not answered.
        """
        if not sample or type(self).initialize is not ModelHandler.initialize:
            return
        request = (self.folder / sample["request"]).read_bytes()
        for rows in (1, batch_size) if batch_size > 1 else (1,):
            for _ in range(WARM_UPS):
                batch = Batch(Row({"body": request}, "warm-up") for _ in range(rows))
                self._settle(batch, self._predict)
                if refused := [row for row in batch if row.status is not HTTPStatus.OK]:
                    raise ValueError(f"the archive's own sample is refused: {refused[0].answer['message']}")


def _by_row(inputs: Any) -> Iterable[Any]:
    """Inputs row by row; a network's several inputs are a tuple, each of shape [rows, …]."""
    return zip(*inputs, strict=True) if isinstance(inputs, tuple) else inputs


def _takes_batch(stage: Callable[..., list[Any]]) -> bool:
    named = [one for one in inspect.signature(stage).parameters.values() if one.kind is one.POSITIONAL_OR_KEYWORD]
    return len(named) > 1


def _finite(outputs: Any, batch: Batch) -> tuple[Any, Batch]:
    """The outputs without those that are no numbers (NaN, infinity); their rows are refused, and are our fault."""
    if not (isinstance(outputs, torch.Tensor) and outputs.is_floating_point() and len(outputs) == len(batch)):
        return outputs, batch
    finite = torch.isfinite(outputs).flatten(1).all(1) if outputs.ndim > 1 else torch.isfinite(outputs)
    if bool(finite.all()):
        return outputs, batch
    for row, fine in zip(batch, finite.tolist(), strict=True):
        if not fine:
            row.refuse(_refusal(row, ArithmeticError("the network's output has values that are no finite numbers")))
    return outputs[finite], batch.open


def _hurts_the_process(error: Exception) -> bool:
    """Whether other rows would suffer too: memory is short, or the GPU's context is lost."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and ("CUDA error" in str(error) or "can't allocate memory" in str(error))


def _refusal(row: Row, error: Exception) -> RequestError:
    if isinstance(error, RequestError):
        return error
    logger.error("request %s failed in the model", row.request_id, exc_info=error)
    return ServerFault(row.request_id)
