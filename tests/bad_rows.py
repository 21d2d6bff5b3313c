"""Requests that must be refused: each kind that a handler of ours can be sent, with the status and the sentence it gets."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pictures import bomb
from task_table import Network

AS_JSON = {"Content-Type": "application/json"}
LIMITS = {"megabytes": 1, "rows": 4}  # of the spec that all these are sent to
FAIL = "x-fail"
ANSWERED_BY = ("aotinductor", "openvino")
FAULT = "The model failed on this input. The server's log has the cause under request"

FAILING = '''"""A handler of ours that fails where a request's header says so."""

import torch
from {module} import {name}


class Failing({name}):
    """As the handler that it is made of; X-Fail names the stage that raises, or the output that is no number."""

    def preprocess(self, batch):
        self._asked = batch
        return super().preprocess(batch)

    def preprocess_row(self, row):
        self._raise("preprocess", row)
        return super().preprocess_row(row)

    def inference(self, inputs):
        rows = self._asked.open
        for row in rows:
            self._raise("inference", row)
        return spoilt(super().inference(inputs), [row.headers.get("x-fail") == "nan" for row in rows])

    def postprocess_row(self, output, row):
        self._raise("postprocess", row)
        return super().postprocess_row(output, row)

    def _raise(self, stage, row):
        if row.headers.get("x-fail") == stage:
            raise RuntimeError(stage + " fails, as was asked")


def spoilt(outputs, rows):
    """Outputs with values that are no numbers in some rows."""
    if not isinstance(outputs, torch.Tensor):
        parts = [spoilt(one, rows) for one in (outputs.values() if isinstance(outputs, dict) else outputs)]
        return dict(zip(outputs, parts)) if isinstance(outputs, dict) else type(outputs)(parts)
    if not (outputs.is_floating_point() and any(rows)):
        return outputs
    outputs = outputs.clone()
    outputs[torch.tensor(rows)] = float("nan")
    return outputs
'''


@dataclass(frozen=True)
class Bad:
    """A request, and how it is refused.

    ``answered_by`` names runtimes that have an answer to it: their ReLU makes 0 of what is no number within the network.
    """

    name: str
    status: int
    message: str
    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    answered_by: tuple[str, ...] = ()


def bad_rows(network: Network, runtime: str = "eager") -> list[Bad]:
    """One request of each kind that fits a network's handler, served with LIMITS; the first is what a person sends by mistake."""
    every = [*OF_HANDLER[network.handler](network.sample), *_of_any(network.sample)]
    return [bad for bad in every if runtime not in bad.answered_by]


def _of_any(sample: bytes) -> list[Bad]:
    instances = json.dumps({"instances": [{"b64": base64.b64encode(sample).decode()}] * 5}).encode()
    return [
        Bad("nothing", 400, "The request has an empty body", b""),
        Bad("an empty KServe request", 400, '"inputs" is empty', b'{"inputs": []}', AS_JSON),
        Bad("more rows than the limit", 413, "the limit is 4", instances, AS_JSON),
        Bad("more bytes than the limit", 413, "The payload has 1.1 MB; the limit is 1 MB.", b"1" * 1_100_000),
        Bad("a deadline passed", 504, "deadline had passed", sample, {"X-Request-Deadline": "1"}),
        *(Bad(f"{stage} raises", 500, FAULT, sample, {FAIL: stage}) for stage in ("preprocess", "inference", "postprocess")),
        Bad("an output that is no number", 500, FAULT, sample, {FAIL: "nan"}),
    ]


def _of_images(sample: bytes) -> list[Bad]:
    encoded = base64.b64encode(sample).decode()
    return [
        Bad("no image", 422, "Not an image that can be read", b"no image"),
        Bad("half an image", 422, "is damaged", sample[: len(sample) // 2]),
        Bad("too many pixels", 413, "the limit is", bomb()),
        Bad("text", 415, "the request is text", b"seven", {"Content-Type": "text/plain"}),
        Bad("broken JSON", 422, "Not an image that can be read", b'{"data": ', AS_JSON),
        Bad("broken base64", 400, "is not base64", b'{"data": "#"}', AS_JSON),
        Bad("JSON without data", 400, 'found no text under "data"', b'{"x": 1}', AS_JSON),
        Bad("no such option", 400, "'top_k' must be a number", _json({"data": encoded, "top_k": 0}), AS_JSON),
        Bad("one bad instance", 422, "Row 1: ", _json({"instances": [{"b64": encoded}, {"b64": "AAAA"}]}), AS_JSON),
    ]


def _of_images_alone(sample: bytes) -> list[Bad]:
    return [*_of_images(sample), Bad("numbers", 415, "the request is a JSON list", b"[[1, 2]]", AS_JSON)]


def _of_images_or_numbers(sample: bytes) -> list[Bad]:
    whole: list[list[list[Any]]] = [[[0.5] * 8 for _ in range(8)]]
    return [
        *_of_images(sample),
        Bad("another shape", 422, "'data' must have shape [1, 8, 8]; found [1, 2].", b"[[1, 2]]", AS_JSON),
        Bad("another type", 422, "'data' must be numbers", _json(_changed(whole, "ink")), AS_JSON),
        Bad("no number", 422, "no finite numbers", _json(_changed(whole, float("nan"))), AS_JSON),
        Bad("infinity", 422, "no finite numbers", _json(_changed(whole, float("inf"))), AS_JSON),
        Bad("numbers that overflow in the network", 500, FAULT, _json([[[3e38] * 8] * 8]), AS_JSON, ANSWERED_BY),
    ]


def _of_numbers(sample: bytes) -> list[Bad]:
    wine = json.loads(sample)["data"]
    return [
        Bad("another shape", 422, "'measurements' must have shape [13]; found [3].", b'{"data": [1, 2, 3]}'),
        Bad("ragged", 422, "'measurements' must be numbers", _json({"data": [[1], *wine[1:]]})),
        Bad("another type", 422, "'measurements' must be numbers", _json({"data": ["ink", *wine[1:]]})),
        Bad("no number", 422, "no finite numbers", _json({"data": [float("nan"), *wine[1:]]})),
        Bad("out of range", 422, "'measurements' must have values from 0", _json({"data": [-1, *wine[1:]]}), AS_JSON),
        Bad("no JSON", 400, "The request is not JSON", b"\x89PNG"),
        Bad("broken JSON", 400, "The request is not JSON", b'{"data": ', AS_JSON),
        Bad("no such name", 422, "No input is named 'wine'", _json({"inputs": {"wine": wine}}), AS_JSON),
        Bad("JSON without data", 400, "Expected JSON", b'{"x": 1}', AS_JSON),
        Bad("no such option", 400, "'top_k' must be a number", _json({"data": wine, "top_k": 0}), AS_JSON),
        Bad("one bad instance", 422, "Row 1: ", _json({"instances": [{"data": wine}, {"data": [1]}]}), AS_JSON),
        Bad("numbers that overflow in the network", 500, FAULT, _json({"data": [3e38] * 13}), {}, ANSWERED_BY),
    ]


def _of_texts(sample: bytes) -> list[Bad]:
    text = sample.decode()
    return [
        Bad("no UTF-8", 422, "The text is not UTF-8", b"\xff\xfe"),
        Bad("spaces", 422, "The text is empty.", b"  \n "),
        Bad("half a character", 422, "is half of one", b'{"text": "\\ud800"}', AS_JSON),
        Bad("broken JSON", 400, "The request is not JSON", b'{"text": "How', AS_JSON),
        Bad("another type", 415, "the request is a JSON list", b"[1, 2]", AS_JSON),
        Bad("JSON without text", 415, "the request is a JSON dict", b'{"x": 1}', AS_JSON),
        Bad("one bad instance", 422, "Row 1: ", _json({"instances": [{"text": text}, {"text": " "}]}), AS_JSON),
    ]


def _of_classified_texts(sample: bytes) -> list[Bad]:
    asked = _json({"text": sample.decode(), "top_k": "many"})
    return [*_of_texts(sample), Bad("no such option", 400, "'top_k' must be a number", asked, AS_JSON)]


def _of_embedded_texts(sample: bytes) -> list[Bad]:
    asked = _json({"text": sample.decode(), "encoding": "hex"})
    return [*_of_texts(sample), Bad("no such option", 400, "'encoding' must be", asked, AS_JSON)]


OF_HANDLER = {
    "image_classifier": _of_images_or_numbers,
    "tensor_classifier": _of_images_alone,
    "object_detector": _of_images_alone,
    "image_segmenter": _of_images_alone,
    "lightning_module": _of_images_alone,
    "tensor_model": _of_numbers,
    "text_classifier": _of_classified_texts,
    "text_embedder": _of_embedded_texts,
}


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _changed(numbers: list[list[list[Any]]], value: Any) -> list[list[list[Any]]]:
    return [[[value, *line[1:]] if index == 0 else line for index, line in enumerate(channel)] for channel in numbers]
