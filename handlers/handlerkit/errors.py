"""Why a row is refused, as the caller of the model reads it.

    row ─► payload ──────► preprocess_row ─► inference ─► postprocess_row ─► 200
             │                  │                │              │
             ├ 400 BadRequest   ├ 413 PayloadTooLarge           └ 500 ServerFault
             ├ 413              └ 422 UnprocessableInput
             ├ 415 UnsupportedMediaType
             └ 504 DeadlineExceeded, before anything is computed

A refusal concerns one row alone. Its body has the shape of TorchServe's own errors: code, type, message.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, ClassVar

SHOWN = 40  # characters of a caller's value that a message repeats


def shown(value: Any) -> str:
    """The beginning of a caller's value, for a message; of lists and objects, which may be too deep to write, only the kind."""
    return f"a JSON {type(value).__name__}" if isinstance(value, (list, dict)) else repr(str(value)[:SHOWN])


class RequestError(Exception):
    """A row that cannot be answered; the message is sent to the caller."""

    status: ClassVar[HTTPStatus] = HTTPStatus.BAD_REQUEST

    def body(self) -> dict[str, object]:
        """The JSON body of the refusal."""
        return {"code": int(self.status), "type": type(self).__name__, "message": str(self)}


class BadRequest(RequestError):
    """The request cannot be read: no payload, or one that is not what it says it is."""

    status = HTTPStatus.BAD_REQUEST


class PayloadTooLarge(RequestError):
    """The payload, or what it unpacks to, is over a limit; the message says which."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class UnsupportedMediaType(RequestError):
    """The payload is of a kind that this handler does not take."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class UnprocessableInput(RequestError):
    """The payload was read, but is no input for this model."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class DeadlineExceeded(RequestError):
    """The caller no longer waits for the answer, so it was not computed."""

    status = HTTPStatus.GATEWAY_TIMEOUT


class ServerFault(RequestError):
    """Our fault: the caller learns nothing but the request id, under which the log has the rest."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR

    def __init__(self, request_id: str) -> None:
        super().__init__(f"The model failed on this input. The server's log has the cause under request {request_id}.")
