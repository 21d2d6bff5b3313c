"""The access log: one JSON object a line for each request on /predictions and /explanations."""

from __future__ import annotations

from marina.gateway.messages import Message, extension


def _seconds(duration: str) -> str:
    """A duration as a number; Envoy's expressions know no smaller part of it than milliseconds."""
    return f"%TYPED_CEL(double({duration}.getSeconds()) + double({duration}.getMilliseconds()) / 1000.0)%"


FIELDS = {
    "time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
    "request_id": "%REQ(x-request-id)%",
    "model": "%METADATA(ROUTE:marina:model)%",
    "route": "%METADATA(ROUTE:marina:route)%",
    "experiment": "%METADATA(ROUTE:marina:experiment)%",
    "key": "%DYNAMIC_METADATA(marina:key)%",
    "key_from": "%METADATA(ROUTE:marina:key_from)%",
    "assigned": "%REQ(x-marina-assigned)%",
    "answered": "%RESP(x-model-version)%",
    "status": "%RESPONSE_CODE%",
    "first_status": "%TYPED_CEL(upstream.request_attempt_count > 1 ? 503 : response.code)%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "seconds": _seconds("request.duration"),
    "microseconds": "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%",
    "upstream_seconds": _seconds("response.backend_latency"),
    "request_bytes": "%BYTES_RECEIVED%",
    "response_bytes": "%BYTES_SENT%",
    "flags": "%RESPONSE_FLAGS%",
    "sampled_shadow": "%METADATA(ROUTE:marina:shadow)%",
}


def access_log(path: str) -> Message:
    """Envoy's settings for the log.

    Args:
        path: relative to where Envoy runs.
    """
    kinds = [
        {"header_filter": {"header": {"name": ":path", "string_match": {"prefix": f"/{kind}/"}}}}
        for kind in ("predictions", "explanations")
    ]
    written = extension(
        "envoy.access_loggers.file",
        "envoy.extensions.access_loggers.file.v3.FileAccessLog",
        path=path,
        log_format={"json_format": FIELDS},
    )
    return {**written, "filter": {"or_filter": {"filters": kinds}}}
