"""KServe requests whose JSON TorchServe has not read: with tensors as bytes behind it, or without a content type.

    {"inputs": [{…, "parameters": {"binary_data_size": 8}}, …]} bytes of the first bytes of the second …

``Inference-Header-Content-Length`` says where the JSON ends. An element of BYTES is its length, four bytes with the lowest
first, and its content. Source: KServe, "Binary Tensor Data Extension" of the Open Inference Protocol.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from handlerkit.errors import SHOWN, BadRequest, shown

LENGTH = "inference-header-content-length"
PREFIX = 4  # bytes before an element of BYTES
LONGEST_NUMBER = 18  # digits; Python refuses to read thousands of them


def with_document(parts: Mapping[str, Any], headers: Mapping[str, Any]) -> Mapping[str, Any]:
    """A request's parts, the body of a KServe request as the JSON value that it is.

    Args:
        parts: TorchServe's row.
        headers: of the request, their names in lower case.

    Raises:
        BadRequest: the header promises what the body is not.
    """
    body = parts.get("body")
    if not isinstance(body, (bytes, bytearray)):
        return parts
    if LENGTH in headers:
        return {**parts, "body": _document(bytes(body), str(headers[LENGTH]))}
    if "content-type" not in headers and body.lstrip()[:1] == b"{" and (b'"inputs"' in body or b'"instances"' in body):
        found = _json(body)
        if isinstance(found, dict) and any(isinstance(found.get(name), list) for name in ("inputs", "instances")):
            return {**parts, "body": found}
    return parts


def _document(body: bytes, length: str) -> Any:
    end = int(length) if length.isascii() and length.isdecimal() and len(length) <= LONGEST_NUMBER else -1
    document = _json(body[:end]) if 0 <= end <= len(body) else None
    if not isinstance(document, dict) or not isinstance(document.get("inputs"), list):
        raise BadRequest(f'Inference-Header-Content-Length is {length[:20]}: so many bytes must be JSON with "inputs", a list.')
    rest = memoryview(body)[end:]
    for one in document["inputs"]:
        size = _size(one)
        if size is not None:
            if size > len(rest):
                raise BadRequest(f"An input has binary_data_size {size}; found {len(rest)} bytes of it.")
            one["data"], rest = _values(one, bytes(rest[:size])), rest[size:]
    if rest:
        raise BadRequest(f"The request has {len(rest)} bytes behind those of its inputs.")
    return document


def _json(content: bytes | bytearray) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _size(one: Any) -> int | None:
    parameters = one.get("parameters") if isinstance(one, dict) else None
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is not None and not (isinstance(size, int) and not isinstance(size, bool) and size >= 0):
        raise BadRequest(f"binary_data_size must be a number of bytes; found {shown(size)}.")
    return size


def _values(one: Mapping[str, Any], content: bytes) -> list[Any]:
    from handlerkit.envelope import DATATYPES

    datatype = str(one.get("datatype"))[:SHOWN]
    if datatype == "BYTES":
        return _elements(content)
    if datatype not in DATATYPES:
        raise BadRequest(f"datatype must be BYTES or one of {', '.join(DATATYPES)}; found {datatype!r}.")
    import numpy as np  # plain requests for texts need none

    kind = np.dtype(DATATYPES[datatype])
    if len(content) % kind.itemsize:
        raise BadRequest(f"binary_data_size {len(content)} is no multiple of the {kind.itemsize} bytes of {datatype}.")
    values: list[Any] = np.frombuffer(content, kind).tolist()
    return values


def _elements(content: bytes) -> list[bytes]:
    elements, at = [], 0
    while at < len(content):
        end = at + PREFIX + int.from_bytes(content[at : at + PREFIX], "little")
        if end > len(content):
            raise BadRequest("An element of BYTES is longer than its input.")
        elements.append(content[at + PREFIX : end])
        at = end
    return elements
