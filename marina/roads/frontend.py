"""What TorchServe's frontend does between a caller and a worker: paths, the parts of a request, its own errors.

Written from what TorchServe 0.12.0 was seen to answer; tests/serve/test_flask.py asks both the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from marina.roads.worker import EXPLAIN, PREDICT, Answer, Asked, Part, error_answer

LARGEST_REQUEST = 6_553_500  # bytes; max_request_size of TorchServe, which config.properties leaves as it is
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"


@dataclass(frozen=True)
class Wanted:
    """Whom a path asks for what."""

    model: str
    version: str | None
    explains: bool


class NotFound(Exception):
    """What TorchServe answers by 404, or 405; the answer is the error's."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.answer = answer


def no_resource() -> NotFound:
    """The path names nothing."""
    message = "Requested resource is not found, please refer to API document."
    return NotFound(error_answer(404, "ResourceNotFoundException", message))


def no_method() -> NotFound:
    """The path names something that cannot be done that way."""
    message = "Requested method is not allowed, please refer to API document."
    return NotFound(error_answer(405, "MethodNotAllowedException", message))


def no_model(model: str) -> NotFound:
    """The path names a model that is not served."""
    return NotFound(error_answer(404, "ModelNotFoundException", f"Model not found: {model}"))


def no_version(model: str, version: str) -> NotFound:
    """The path names a version that is not served."""
    message = f"Model version: {version} does not exist for model: {model}"
    return NotFound(error_answer(404, "ModelVersionNotFoundException", message))


def segments_of(path: str) -> list[str]:
    """The parts of a path between its slashes; empty ones at its end do not count."""
    return path.rstrip("/").split("/")[1:]


def wanted_by(segments: list[str]) -> Wanted:
    """What a path of the Inference API asks for.

    Raises:
        NotFound: it is none.
    """
    match segments:
        case ["predictions" | "explanations" as route, model, *rest]:
            return Wanted(model, rest[0] if rest else None, route == "explanations")
        case ["v1", "models", name] if name.endswith((":predict", ":explain")):
            model, _, verb = name.rpartition(":")
            return Wanted(model, None, verb == "explain")
        case ["v2", "models", model, "infer" | "explain" as verb]:
            return Wanted(model, None, verb == "explain")
        case []:
            raise no_method()
        case _:
            raise no_resource()


def asked_by(content: bytes, headers: Mapping[str, str], explains: bool, request_id: str) -> Asked:
    """A caller's request as the worker gets it.

    Args:
        content: its body.
        headers: its headers.
        explains: whether it asks for an explanation.
        request_id: that it was given.
    """
    told = {**headers, **(EXPLAIN if explains else PREDICT)}
    return Asked(list(_parts(content, headers.get("Content-Type", ""))), told, request_id)


def _parts(content: bytes, content_type: str) -> Iterator[Part]:
    mime = content_type.partition(";")[0].strip()
    _, options = parse_options_header(content_type)
    if mime.lower() == MULTIPART and options.get("boundary"):
        yield from _fields(content, options["boundary"].encode())
    elif mime.lower() == FORM:
        for name, value in parse_qsl(content.decode("latin-1"), keep_blank_values=True, encoding="latin-1"):
            yield Part(name, bytearray(value.encode("latin-1")))
    else:
        yield read_part("body", content, mime)


def _fields(content: bytes, boundary: bytes) -> Iterator[Part]:
    """The fields of a form; what is cut off, or no form, has none."""
    decoder = MultipartDecoder(boundary)
    decoder.receive_data(content)
    decoder.receive_data(None)
    name, kind, value = "", "", bytearray()
    while not isinstance(event := _event(decoder), (Epilogue, NeedData)):
        if isinstance(event, (Field, File)):
            name, value = event.name or "", bytearray()
            kind = event.headers.get("Content-Type", "") if isinstance(event, File) else ""
        elif isinstance(event, Data):
            value += event.data
            if not event.more_data:
                yield read_part(name, bytes(value), kind)


def _event(decoder: MultipartDecoder) -> object:
    try:
        return decoder.next_event()
    except ValueError:
        return NeedData()


def read_part(name: str, content: bytes, content_type: str) -> Part:
    """A part, read as TorchServe's worker reads it: JSON and text by their types, where they are what these say."""
    try:
        if content_type == "application/json":
            return Part(name, json.loads(content.decode()), content_type)
        if content_type.startswith("text"):
            return Part(name, content.decode(), content_type)
    except (ValueError, RecursionError):
        pass
    return Part(name, bytearray(content), content_type)
