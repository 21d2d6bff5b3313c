"""What the gateway says itself: every error as JSON, in the manner of the handlers, with the request's id."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from marina.gateway.assignments import PREFIX
from marina.gateway.messages import Message, headers

RETRY_AFTER_SECONDS = 1
MESSAGES = {
    400: ("BadRequest", "Not a request that can be understood, or a path with escaped slashes."),
    401: ("Unauthorized", "A key is required that this gateway knows: send it as Authorization: Bearer KEY."),
    404: ("NotFound", "Nothing is served at this path; models answer at /predictions/<model> and /explanations/<model>."),
    408: ("RequestTimeout", "The request did not arrive within the time limit."),
    413: ("PayloadTooLarge", "The request is larger than the {limit} bytes that the gateway takes."),
    429: ("TooManyRequests", "More requests at once than are taken: try again after the seconds in Retry-After."),
    431: ("RequestHeaderFieldsTooLarge", "The request's headers are larger than the gateway takes."),
    503: ("ServiceUnavailable", "The model's server cannot be reached."),
    504: ("GatewayTimeout", "No answer came within {seconds:g} s."),
}


def local_replies(body_limit: int, seconds: float) -> Message:
    """Envoy's settings for its own answers."""
    overflow = {"response_flag_filter": {"flags": ["UO"]}}
    known = {code: (kind, text.format(limit=body_limit, seconds=seconds)) for code, (kind, text) in MESSAGES.items()}
    mappers = [*_answers(), _mapper(overflow, 429, *known[429])]
    mappers += [_mapper(_status(code), code, *said) for code, said in known.items()]
    return {"mappers": mappers, "body_format": _body("%RESPONSE_CODE%", "Error", "%LOCAL_REPLY_BODY%")}


def _answers() -> list[Message]:
    """What is said at /healthz, /ready and /assignments: no errors, or one of its own."""
    ready, alive = {"json_format": {"status": "ready"}}, {"json_format": {"status": "alive"}}
    as_it_is = {"text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"}, "content_type": "application/json"}
    said = (("/ready", ready), ("/healthz", alive), (f"{PREFIX}/", as_it_is))
    found: list[Message] = [{"filter": _at(path, 200), "body_format_override": body} for path, body in said]
    text = "Workers are missing that must be READY; the Management API says whose."
    return [*found, _mapper(_at("/ready", 503), 503, "NotReady", text)]


def _at(path: str, code: int) -> Message:
    beginning = {"header_filter": {"header": {"name": ":path", "string_match": {"prefix": path}}}}
    return {"and_filter": {"filters": [beginning, _status(code)]}}


def _mapper(matches: Message, code: int, kind: str, message: str) -> Message:
    retry = {"retry-after": str(RETRY_AFTER_SECONDS)} if code == HTTPStatus.TOO_MANY_REQUESTS else {}
    mapper: dict[str, Any] = {"filter": matches, "status_code": code, "body_format_override": _body(code, kind, message)}
    return mapper | ({"headers_to_add": headers(retry)} if retry else {})


def _status(code: int) -> Message:
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": {"default_value": code, "runtime_key": "marina.none"}}}}


def _body(code: int | str, kind: str, message: str) -> Message:
    return {"json_format": {"code": code, "type": kind, "message": message, "request_id": "%REQ(x-request-id)%"}}
