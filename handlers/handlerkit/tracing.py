"""Spans of OpenTelemetry: what this worker did for each request, in the trace of its caller.

    request ─► predict digits ┬ preprocess   a stage that several requests shared stands in the trace of each,
               (server span)  ├ inference    with the same times and with the number of rows that shared it
                              └ postprocess

Rows are told of the stages that they go through while a batch is answered; spans are made of that afterwards, so that none
is open while a network runs, and no caller's trace learns of another's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from handlerkit.batch import Row

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span

    from handlerkit.exchange import Exchange, Request

logger = logging.getLogger(__name__)
LONGEST = 128  # of a request's id, which callers choose


@dataclass
class Passed:
    """A stage that rows went through together.

    Attributes:
        stage: its name, as in the metrics.
        rows: how many rows shared it.
        started: Unix time in nanoseconds.
        ended: likewise.
        fault: the class of what it raised, where it did.
    """

    stage: str
    rows: int
    started: int
    ended: int = 0
    fault: str | None = None


class Tracing:
    """Spans of one model version; without a tracer it does nothing."""

    def __init__(self, tracer: Any = None, attributes: Mapping[str, str] | None = None) -> None:
        """Take an OpenTelemetry ``Tracer``, and the attributes that every request's span gets."""
        self._tracer = tracer
        self._attributes = dict(attributes or {})

    def stage(self, stage: str, rows: Sequence[Row]) -> AbstractContextManager[None]:
        """Tell rows that they go through a stage together."""
        return _passing(stage, rows) if self._tracer else nullcontext()

    def now(self) -> int:
        """Unix time in nanoseconds."""
        return time.time_ns() if self._tracer else 0

    def answered(self, exchange: Exchange, started: int) -> None:
        """Make the spans of requests that have been answered; whatever goes wrong with that is logged, and no more.

        Args:
            exchange: the requests.
            started: when the worker took them, as ``now`` had it.
        """
        if not self._tracer:
            return
        ended = self.now()
        try:
            for request in exchange.requests:
                if request.rows[0].kind != "describe":  # the Management API's, asked once a second by a status screen
                    self._make(request, len(exchange.batch), started, ended)
        except Exception:
            logger.exception("a request's spans could not be made")

    def _make(self, request: Request, batch_rows: int, started: int, ended: int) -> None:
        from opentelemetry import propagate
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind, set_span_in_context

        first = request.rows[0]
        carrier = {name: str(value) for name, value in first.headers.items()}
        attributes = self._attributes | _attributes(request, batch_rows)
        span = self._tracer.start_span(
            f"{first.kind} {self._attributes['marina.model.name']}",
            context=propagate.extract(carrier, context=Context()),
            kind=SpanKind.SERVER,
            attributes=attributes,
            start_time=started,
        )
        if span.is_recording():
            _set_fault(span, attributes.get("error.type"))
            self._make_stages(request, set_span_in_context(span, Context()))
        span.end(ended)

    def _make_stages(self, request: Request, parent: Context) -> None:
        for passed in {id(one): one for row in request.rows for one in row.passed}.values():
            attributes = {"marina.stage.rows": passed.rows}
            span = self._tracer.start_span(passed.stage, context=parent, attributes=attributes, start_time=passed.started)
            if passed.fault:
                span.set_attribute("error.type", passed.fault)
            _set_fault(span, passed.fault)
            span.end(passed.ended)


@contextmanager
def _passing(stage: str, rows: Sequence[Row]) -> Iterator[None]:
    passed = Passed(stage, len(rows), time.time_ns())
    for row in rows:
        row.passed.append(passed)
    try:
        yield
    except Exception as error:
        passed.fault = type(error).__name__  # its text may have what the caller sent
        raise
    finally:
        passed.ended = time.time_ns()


def _attributes(request: Request, batch_rows: int) -> dict[str, Any]:
    """What a request's span says of it: nothing of its content."""
    first, refused = request.rows[0], request.refused
    status = (refused.status or HTTPStatus.INTERNAL_SERVER_ERROR) if refused else HTTPStatus.OK
    found: dict[str, Any] = {
        "http.response.status_code": int(status),
        "marina.kind": first.kind,
        "marina.request.id": first.request_id[:LONGEST],
        "marina.request.rows": len(request.rows),
        "marina.batch.rows": batch_rows,
    }
    if refused:
        reason = "error.type" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "marina.refusal"
        found[reason] = str(refused.answer["type"]) if refused.answer else SystemExit.__name__  # the worker ends
    return found


def _set_fault(span: Span, fault: str | None) -> None:
    """Mark a span as failed; a refused request, a 4xx, is none, as OpenTelemetry's conventions for servers have it."""
    if fault:
        from opentelemetry.trace import Status, StatusCode

        span.set_status(Status(StatusCode.ERROR, fault))
