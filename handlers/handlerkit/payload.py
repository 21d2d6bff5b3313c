"""What a caller sent: raw bytes, a form's part, or JSON with base64 or numbers inside, all read the same way."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

from handlerkit.batch import JSON, Row
from handlerkit.errors import BadRequest, PayloadTooLarge, UnprocessableInput, UnsupportedMediaType
from handlerkit.limits import Limits

if TYPE_CHECKING:
    import numpy as np

FORM_OF_FIELDS = "application/x-www-form-urlencoded"
PART_NAMES = ("data", "body", "image", "text", "file")
MEGA = 1_000_000


def content(row: Row) -> Any:
    """The one thing a request carries: TorchServe calls it ``body``, a form whatever the caller chose.

    In JSON, ``{"b64": "<base64>"}`` stands for bytes, as KServe and TensorFlow Serving have it.

    Raises:
        BadRequest: there is nothing, there are several parts and none has one of PART_NAMES, or ``b64`` is not base64.
    """
    named = [name for name in PART_NAMES if name in row]
    value = row[named[0]] if named else next(iter(row.values())) if len(row) == 1 else None
    if isinstance(value, dict):
        value = next((value[name] for name in PART_NAMES if name in value), value)
    if isinstance(value, dict) and "b64" in value:
        value = _unwrapped(value["b64"])
    if value is None or (isinstance(value, (bytes, bytearray, str)) and not value):
        raise BadRequest(_nothing_found(row))
    return value


def binary(row: Row, limits: Limits = Limits()) -> bytes:  # noqa: B008 - frozen
    """The bytes a request carries.

    Raises:
        BadRequest: there are none, or JSON without base64 text under one of PART_NAMES.
        PayloadTooLarge: there are more than the limit.
        UnsupportedMediaType: the request is JSON of another shape, or text.
    """
    if str(row.headers.get("content-type", "")).startswith(FORM_OF_FIELDS):
        raise BadRequest("A form of this kind carries no file. With curl, send it by -T FILE or -F data=@FILE.")
    value = content(row)
    if isinstance(value, dict):
        raise BadRequest('Expected JSON {"data": "<base64>"}; found no text under "data".')
    if isinstance(value, (bytes, bytearray)):
        return _limited(bytes(value), limits)
    if isinstance(value, str) and _is_json(row):
        return _limited(_decoded(value, "data"), limits)
    kind = "text" if isinstance(value, str) else "a JSON " + type(value).__name__
    raise UnsupportedMediaType(f'Expected the bytes of a file, or JSON {{"data": "<base64>"}}; the request is {kind}.')


def text(row: Row, limits: Limits = Limits()) -> str:  # noqa: B008 - frozen
    """The text a request carries: UTF-8 bytes, a form's part, or JSON ``{"data": "…"}`` or ``{"text": "…"}``.

    Raises:
        BadRequest: there is none, or what is said to be JSON is not.
        PayloadTooLarge: there is more than the limit.
        UnprocessableInput: it is not UTF-8, or empty.
        UnsupportedMediaType: it is JSON of another shape.
    """
    value = content(row)
    if isinstance(value, (bytes, bytearray)):
        if _is_broken_json(row):
            document(row, limits)
        try:
            value = _limited(bytes(value), limits).decode("utf-8")
        except UnicodeDecodeError as error:
            raise UnprocessableInput(f"The text is not UTF-8: byte {error.start} cannot be read.") from error
    if not isinstance(value, str):
        raise UnsupportedMediaType(f'Expected text, or JSON {{"text": "…"}}; the request is a JSON {type(value).__name__}.')
    try:
        _limited(value.encode(), limits)
    except UnicodeEncodeError as error:  # JSON can spell half of a character: "\\ud800"
        raise UnprocessableInput(f"The text is not Unicode: character {error.start} is half of one.") from error
    if not value.strip():
        raise UnprocessableInput("The text is empty.")
    return value


def document(row: Row, limits: Limits = Limits()) -> Any:  # noqa: B008 - frozen
    """The JSON document a request carries: parsed by TorchServe already, or still the bytes of one.

    Raises:
        BadRequest: there is none, or it is not JSON.
        PayloadTooLarge: it has more bytes than the limit.
    """
    if str(row.headers.get("content-type", "")).startswith(FORM_OF_FIELDS):
        raise BadRequest("A form of this kind carries no JSON. With curl, add -H 'Content-Type: application/json'.")
    body = row.get("body", row.get("data"))
    value = body if isinstance(body, dict) else content(row)
    if not isinstance(value, (bytes, bytearray, str)):
        return value
    try:
        return json.loads(_limited(value.encode() if isinstance(value, str) else bytes(value), limits))
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"The request is not JSON: {error}.") from error


def array(value: Any, shape: tuple[int, ...], dtype: Any, name: str = "data") -> np.ndarray[Any, Any]:
    """Numbers of a request as an array; a size of -1 in ``shape`` takes any.

    Raises:
        UnprocessableInput: they are no numbers, ragged, of another shape, or not finite.
    """
    import numpy as np  # texts need none

    try:
        found = np.asarray(value, dtype=dtype)
    except (ValueError, TypeError, OverflowError) as error:
        raise UnprocessableInput(f"'{name}' must be numbers of shape {list(shape)}: {error}.") from error
    if len(found.shape) != len(shape) or any(want not in (-1, have) for want, have in zip(shape, found.shape, strict=False)):
        raise UnprocessableInput(f"'{name}' must have shape {list(shape)}; found {list(found.shape)}.")
    if np.issubdtype(found.dtype, np.floating) and not np.isfinite(found).all():
        raise UnprocessableInput(f"'{name}' has values that are no finite numbers.")
    return found


def _is_json(row: Row) -> bool:
    return isinstance(row.get("body", row.get("data")), dict)


def _is_broken_json(row: Row) -> bool:
    """Whether TorchServe, which reads JSON itself where the content type says so, has handed bytes over all the same."""
    is_json = str(row.headers.get("content-type", "")).startswith(JSON)
    return is_json and isinstance(row.get("body", row.get("data")), (bytes, bytearray))


def _unwrapped(value: Any) -> bytes:
    if not isinstance(value, str):
        raise BadRequest(f'Under "b64" stands base64, text; found a JSON {type(value).__name__}.')
    return _decoded(value, "b64")


def _decoded(value: str, name: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(f'The text under "{name}" is not base64: {error}.') from error


def _limited(value: bytes, limits: Limits) -> bytes:
    if len(value) > limits.megabytes * MEGA:
        raise PayloadTooLarge(f"The payload has {len(value) / MEGA:.1f} MB; the limit is {limits.megabytes:g} MB.")
    return value


def _nothing_found(row: Row) -> str:
    if len(row) > 1:
        return f"The form has several parts ({', '.join(sorted(row))}) and none is named {' or '.join(PART_NAMES)}."
    return "The request has an empty body: send the bytes of a file, for example curl -T FILE."
