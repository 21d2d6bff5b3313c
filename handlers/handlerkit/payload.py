"""What a caller sent: raw bytes, a form's part, or JSON with base64 inside, all read the same way."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from handlerkit.batch import Row
from handlerkit.errors import BadRequest, UnsupportedMediaType

FORM_OF_FIELDS = "application/x-www-form-urlencoded"
PART_NAMES = ("data", "body", "image", "file")


def content(row: Row) -> Any:
    """The one thing a request carries: TorchServe calls it ``body``, a form whatever the caller chose.

    Raises:
        BadRequest: there is nothing, or there are several parts and none has one of PART_NAMES.
    """
    named = [name for name in PART_NAMES if name in row]
    value = row[named[0]] if named else next(iter(row.values())) if len(row) == 1 else None
    if value is None or (isinstance(value, (bytes, bytearray, str)) and not value):
        raise BadRequest(_nothing_found(row))
    return value


def binary(row: Row) -> bytes:
    """The bytes a request carries.

    Raises:
        BadRequest: there are none, or JSON without base64 text under one of PART_NAMES.
        UnsupportedMediaType: the request is JSON of another shape, or text.
    """
    if str(row.headers.get("content-type", "")).startswith(FORM_OF_FIELDS):
        raise BadRequest("A form of this kind carries no file. With curl, send it by -T FILE or -F data=@FILE.")
    value = content(row)
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    if isinstance(value, dict):
        return _from_base64(value)
    kind = "text" if isinstance(value, str) else "a JSON " + type(value).__name__
    raise UnsupportedMediaType(f'Expected the bytes of a file, or JSON {{"data": "<base64>"}}; the request is {kind}.')


def _from_base64(document: dict[str, Any]) -> bytes:
    text = next((document[name] for name in PART_NAMES if isinstance(document.get(name), str)), None)
    if not text:
        raise BadRequest('Expected JSON {"data": "<base64>"}; found no text under "data".')
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(f'The text under "data" is not base64: {error}.') from error


def _nothing_found(row: Row) -> str:
    if len(row) > 1:
        return f"The form has several parts ({', '.join(sorted(row))}) and none is named {' or '.join(PART_NAMES)}."
    return "The request has an empty body: send the bytes of a file, for example curl -T FILE."
