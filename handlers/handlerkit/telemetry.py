"""Whether and where spans are sent: as OpenTelemetry's own variables of the environment say it, and nothing else.

Off without them, and then nothing of OpenTelemetry is imported.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from typing import Any

from handlerkit.tracing import Tracing

logger = logging.getLogger(__name__)
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
PROTOCOL = "http/protobuf"
PACKAGE = "opentelemetry-exporter-otlp-proto-http"
SERVICE = "torchserve"
DELAY_MS = 1000  # TorchServe ends workers by kill -9, and what has not been sent by then is lost
SELDOM_SECONDS = 300.0
TALKATIVE = ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "opentelemetry.sdk._shared_internal")


def open_tracing(model: str, version: str, runtime: str, environment: Mapping[str, str] = os.environ) -> Tracing:
    """Tracing as OpenTelemetry's variables ask for it: off where they do not, or where it cannot be had; that is logged."""
    if not _is_asked_for(environment):
        return Tracing()
    if reason := _unsupported(environment):
        logger.error("tracing is off: %s", reason)
        return Tracing()
    try:
        tracer = _tracer(environment)
    except ImportError as error:
        logger.error(
            "tracing is off: %s asks for it, and %s is missing: pip install %s",
            _asking(environment),
            error.name or error,
            PACKAGE,
        )
    except Exception as error:
        logger.error("tracing is off: OpenTelemetry refuses its variables: %s", error)
    else:
        named = {"marina.model.name": model, "marina.model.version": version, "marina.runtime": runtime}
        return Tracing(tracer, named)
    return Tracing()


def _is_asked_for(environment: Mapping[str, str]) -> bool:
    """Whether the variables want traces; by the specification an endpoint has a default, which would leave it always on."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if exporter := environment.get("OTEL_TRACES_EXPORTER", "").strip():
        return exporter != "none"
    return any(environment.get(name) for name in ENDPOINTS)


def _asking(environment: Mapping[str, str]) -> str:
    return next(name for name in ("OTEL_TRACES_EXPORTER", *ENDPOINTS) if environment.get(name))


def _unsupported(environment: Mapping[str, str]) -> str:
    """Why what is asked for cannot be done; empty where it can."""
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip() or "otlp"
    if exporter != "otlp":
        return f"OTEL_TRACES_EXPORTER must be otlp or none; found {exporter}"
    name, protocol = next(((name, environment[name].strip()) for name in PROTOCOLS if environment.get(name)), ("", PROTOCOL))
    return "" if protocol == PROTOCOL else f"{name} must be {PROTOCOL}; found {protocol}"


def _tracer(environment: Mapping[str, str]) -> Any:
    """A tracer that sends its spans, in a thread of its own, to the collector.

    Raises:
        ImportError: OpenTelemetry is not installed.
        ValueError: one of its variables is wrong.
    """
    from opentelemetry import propagate  # noqa: F401 - reads OTEL_PROPAGATORS, and raises here where that is wrong
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    for name in TALKATIVE:
        logging.getLogger(name).addFilter(Seldom())
    named = OTELResourceDetector().detect().attributes
    resource = Resource.create({SERVICE_NAME: named.get(SERVICE_NAME) or SERVICE, "process.pid": os.getpid()})
    provider = TracerProvider(resource=resource)
    delay = None if environment.get("OTEL_BSP_SCHEDULE_DELAY") else DELAY_MS
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=delay))
    return provider.get_tracer("marina")


class Seldom(logging.Filter):
    """Lets a wording through once in five minutes: a collector that is gone is no reason to fill a disk."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line of this wording has not been written of late."""
        is_due = time.monotonic() >= self._last.get(record.msg, -SELDOM_SECONDS) + SELDOM_SECONDS
        if is_due:
            self._last[record.msg] = time.monotonic()
        return is_due
