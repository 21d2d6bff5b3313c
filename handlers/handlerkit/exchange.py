"""Between TorchServe and a batch: requests are opened into rows, and the rows' answers closed into replies."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from handlerkit.batch import JSON, Batch, Row
from handlerkit.binary_tensors import with_document
from handlerkit.envelope import Envelope, KServeV2, Plain, envelope_of
from handlerkit.errors import DeadlineExceeded, RequestError, ServerFault
from handlerkit.limits import Limits

logger = logging.getLogger(__name__)
Reply = tuple[HTTPStatus, str | None, str | bytes]
STREAM_NEXT = "ts_stream_next"
ECHOED = {"x-request-id": "X-Client-Request-Id", "traceparent": "traceparent"}  # TorchServe writes x-request-id itself


@dataclass(frozen=True)
class Request:
    """One request of TorchServe's batch: its envelope, and the rows that came out of it.

    ``refusing`` is what a refusal is wrapped in, where TorchServe ends the worker whose answer is not of KServe's form.
    """

    envelope: Envelope
    rows: Batch
    refusing: KServeV2 | None = None

    @property
    def came_by_grpc(self) -> bool:
        """Whether no header came with it, only the parts' own types."""
        return _came_by_grpc(self.rows[0].headers)

    @property
    def refused(self) -> Row | None:
        """The first row that is refused, and with it the request."""
        return next((row for row in self.rows if row.status is not HTTPStatus.OK), None)

    def reply(self) -> Reply:
        """Status, content type and body of the reply; a fault of ours where what the handler answered cannot be written."""
        try:
            return self._reply()
        except Exception as error:
            fault = _fault(self.rows[0], error)
            return fault.status, JSON, _text(fault.body())

    def _reply(self) -> Reply:
        refused = self.refused
        if refused is not None:
            refusal = self._refusal(refused)
            body = self.refusing.refuse(refusal) if self.refusing else refusal
            return refused.status or HTTPStatus.INTERNAL_SERVER_ERROR, JSON, _text(body)
        first = self.rows[0]
        if not isinstance(self.envelope, Plain):
            return HTTPStatus.OK, JSON, _text(self.envelope.close([_json(row) for row in self.rows]))
        if isinstance(first.answer, (str, bytes)):
            return HTTPStatus.OK, first.content_type, first.answer
        return HTTPStatus.OK, JSON, f"{first.json}\n"

    def _refusal(self, row: Row) -> dict[str, Any]:
        if len(self.rows) == 1:
            return dict(row.answer)
        number = next(index for index, one in enumerate(self.rows) if one is row)
        return {**row.answer, "message": f"Row {number}: {row.answer['message']}"}


@dataclass(frozen=True)
class Exchange:
    """All requests of one call of ``handle``."""

    requests: list[Request]

    @property
    def batch(self) -> Batch:
        """The rows of all requests, in order."""
        return Batch(row for request in self.requests for row in request.rows)

    @classmethod
    def read(cls, data: Iterable[Mapping[str, Any]], context: Any, version: str, limits: Limits) -> Exchange:
        """Open what TorchServe passes to ``handle`` with its ``ts.context.Context``."""
        return cls([_open(index, parts, context, version, limits) for index, parts in enumerate(data)])

    def write(self, context: Any, version: str) -> list[str | bytes]:
        """Set status and headers of every reply, and return the bodies in TorchServe's order."""
        bodies = []
        for index, request in enumerate(self.requests):
            status, content_type, body = request.reply()
            context.set_response_status(status.value, status.phrase, index)
            if content_type:
                context.set_response_content_type(index, content_type)
            context.set_response_header(index, "X-Model-Version", version)
            if request.came_by_grpc:  # StreamPredictions ends the worker of a model whose answers do not say whether they end
                context.set_response_header(index, STREAM_NEXT, "false")
            for received, sent in ECHOED.items():
                if value := request.rows[0].headers.get(received):
                    context.set_response_header(index, sent, str(value))
            bodies.append(body)
        return bodies


def _open(index: int, parts: Mapping[str, Any], context: Any, version: str, limits: Limits) -> Request:
    headers = context.get_all_request_header(index)
    request_id = context.get_request_id(index) or ""
    whole = Row(parts, request_id, headers)
    refusing = _refusing(parts, whole.headers, context.model_name, version)
    try:
        if whole.is_late:
            raise DeadlineExceeded("The request's deadline had passed before its turn came.")
        opened = with_document(parts, whole.headers)
        envelope = envelope_of(opened, context.model_name, version, whole.kind == "explain", limits.rows)
    except Exception as error:
        whole.refuse(error if isinstance(error, RequestError) else _fault(whole, error))
        return Request(Plain([parts]), Batch([whole]), refusing)
    rows = (whole if one is parts else Row(one, request_id, headers) for one in envelope.inputs)
    return Request(envelope, Batch(rows), refusing)


def _came_by_grpc(headers: Mapping[str, Any]) -> bool:
    """HTTP has headers on every path, and TorchServe's mark of an explanation on some; gRPC's metadata do not reach us."""
    return not any(isinstance(value, str) for value in headers.values())


def _refusing(parts: Mapping[str, Any], headers: Mapping[str, Any], model: str, version: str) -> KServeV2 | None:
    """By gRPC, JSON comes by the Open Inference Protocol alone; TorchServe cannot read an answer to it of another form."""
    body = parts.get("body")
    if isinstance(body, dict) and _came_by_grpc(headers):
        sent = body.get("id")
        return KServeV2([], sent if isinstance(sent, str) else None, model, version)
    return None


def _fault(row: Row, error: Exception) -> ServerFault:
    logger.error("request %s failed between TorchServe and the model", row.request_id, exc_info=error)
    return ServerFault(row.request_id)


def _json(row: Row) -> Any:
    """The row's answer within JSON: a picture as base64, other bytes as the text that they are."""
    if not isinstance(row.answer, bytes):
        return row.answer
    is_picture = (row.content_type or "").startswith("image/")
    return base64.b64encode(row.answer).decode() if is_picture else row.answer.decode("utf-8", "replace")


def _text(answer: Any) -> str:
    return json.dumps(answer, allow_nan=False) + "\n"
