"""A worker of TorchServe in this process, without its frontend: an archive is loaded, and asked in batches."""

from __future__ import annotations

import importlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from ts.context import Context
from ts.service import Service
from ts.utils.util import PredictionException

from marina import paths
from marina.roads.surroundings import Surroundings
from marina.store import preflight_worker

logger = logging.getLogger(__name__)
PREDICT = {"explain": "False"}  # TorchServe's frontend sets it on every request that comes by HTTP
EXPLAIN = {"explain": "True"}
FAILURE_TYPE = "InternalServerException"


@dataclass(frozen=True)
class Part:
    """A part of a request, as TorchServe's frontend hands it on: the body of most, a field of a form.

    Attributes:
        name: ``body``, or the field's.
        value: bytes; text or a JSON value where the content type says so.
        content_type: empty where the caller named none.
    """

    name: str
    value: Any
    content_type: str = ""


@dataclass(frozen=True)
class Asked:
    """A request to a worker."""

    parts: Sequence[Part]
    headers: Mapping[str, str] = field(default_factory=lambda: dict(PREDICT))
    request_id: str = ""

    @classmethod
    def of(cls, content: bytes, request_id: str = "") -> Asked:
        """A prediction for a body of bytes."""
        return cls([Part("body", bytearray(content))], request_id=request_id)


@dataclass(frozen=True)
class Answer:
    """What TorchServe would send to the caller.

    Attributes:
        status: HTTP's.
        body: the bytes.
        headers: that the handler set, the content type among them.
    """

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


class Worker:
    """An unpacked archive, loaded as TorchServe's worker loads it."""

    def __init__(
        self, folder: Path, sources: Mapping[str, Path] | None = None, gpu: int | None = None, debugged: bool = False
    ) -> None:
        """Load it.

        Args:
            folder: the unpacked archive.
            sources: modules that are imported from elsewhere in place of the archive's, by their names.
            gpu: the number of the GPU that TorchServe would assign; None assigns none.
            debugged: whether a person may stop in it: then it answers no sample when it is loaded, and reads the rows of a
                request one after the other, so that a breakpoint stops once for each request, and in no thread.

        Raises:
            Exception: whatever the handler raises while it is imported or initialised.
        """
        self._place = Surroundings(folder, sources)
        with self._place.entered():
            if debugged:
                _leave_cold()
            self._service: Service = preflight_worker.load(folder, str(paths.METRICS_CONFIG), gpu)
        if debugged and hasattr(self.handler, "_decoders"):
            self.handler._decoders = _OneAfterTheOther()

    @property
    def handler(self) -> Any:
        """The handler, or its function."""
        return getattr(self._service._entry_point, "__self__", self._service._entry_point)

    def ask(self, batch: Sequence[Asked]) -> list[Answer]:
        """Answers to a batch of requests, in order. What ends a worker (SystemExit) is raised here as well."""
        context: Context = self._service.context
        headers, rows, ids = Service.retrieve_data_for_inference([_message(one) for one in batch])
        context.request_ids, context.request_processor, context.metrics.request_ids = ids, headers, ids
        with self._place.entered():
            try:
                bodies = self._service._entry_point(rows, context)
            except Exception as error:  # as ts.service answers for a handler that raises
                logger.exception("the handler raised")
                return [_failed(*_failure(error))] * len(batch)
        if not isinstance(bodies, list):
            return [_failed(503, "Invalid model predict output")] * len(batch)
        if len(bodies) != len(batch):
            return [_failed(503, "number of batch response mismatched")] * len(batch)
        return [self._answer(index, body) for index, body in enumerate(bodies)]

    def _answer(self, index: int, body: Any) -> Answer:
        context: Context = self._service.context
        status, _ = context.get_response_status(index)
        return Answer(status or HTTPStatus.OK, _bytes(body), dict(context.get_response_headers(index)))


class _OneAfterTheOther(Executor):
    """In place of a handler's threads."""

    def map(self, fn: Callable[..., Any], *iterables: Iterable[Any], **ignored: Any) -> Iterator[Any]:
        """The results of calls that are made here and now."""
        return map(fn, *iterables)


def _leave_cold() -> None:
    """Have handlers of handlerkit answer no sample when they are loaded."""
    try:
        importlib.import_module("handlerkit.model_handler").WARM_UPS = 0  # type: ignore[attr-defined]
    except ModuleNotFoundError as error:
        if error.name != "handlerkit":  # an archive of others has none
            raise


def _message(asked: Asked) -> dict[str, Any]:
    return {
        "requestId": asked.request_id.encode(),
        "headers": [{"name": name.encode(), "value": value.encode()} for name, value in asked.headers.items()],
        "parameters": [{"name": part.name, "value": part.value, "contentType": part.content_type} for part in asked.parts],
    }


def _failure(error: Exception) -> tuple[int, str]:
    """Status and text that TorchServe's worker has for what a handler raised."""
    if isinstance(error, MemoryError) or "CUDA" in str(error):
        return 507, "Out of resources"
    if isinstance(error, PredictionException):
        return error.error_code, error.message
    return 503, "Prediction failed"


def _failed(status: int, message: str) -> Answer:
    return error_answer(status, FAILURE_TYPE, message)


def error_answer(status: int, kind: str, message: str) -> Answer:
    """An error as TorchServe's frontend words it."""
    body = json.dumps({"code": status, "type": kind, "message": message}, indent=2, ensure_ascii=False) + "\n"
    return Answer(status, body.encode(), {"content-type": "application/json"})


def _bytes(body: Any) -> bytes:
    if isinstance(body, (bytes, bytearray)):
        return bytes(body)
    return body.encode() if isinstance(body, str) else json.dumps(body, indent=2).encode()
