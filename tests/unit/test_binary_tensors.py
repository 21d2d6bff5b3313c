"""KServe requests with tensors as bytes behind their JSON, as NVIDIA's client sends them by default."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from handlerkit.binary_tensors import with_document
from pictures import plain
from workers import Answer, Worker, config, image_classifier, traced

LIGHT, DARK = (plain("L", (5, 5), color) for color in (255, 0))


class Mean(torch.nn.Module):
    """Two classes by brightness."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        mean = images.mean((1, 2, 3))
        return torch.stack([0.5 - mean, mean - 0.5], dim=1)


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    settings = config({"size": [4, 4], "mode": "L", "top_k": 1}, ["dark", "light"])
    return Worker(image_classifier(), traced(tmp_path, Mean(), (1, 4, 4)), settings)


def elements(*contents: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(content)) + content for content in contents)


def ask(worker: Worker, tensor: dict[str, Any], binary: bytes, length: int | str | None = None) -> Answer:
    document = json.dumps({"inputs": [tensor]}).encode()
    header = str(len(document) if length is None else length)
    return worker.ask(document + binary, headers=[{"Inference-Header-Content-Length": header}])[0]


def tensor(size: Any, datatype: str = "BYTES", shape: list[int] | None = None) -> dict[str, Any]:
    return {"name": "image", "shape": shape or [2], "datatype": datatype, "parameters": {"binary_data_size": size}}


def labels(answer: Answer) -> list[str]:
    assert answer.status == 200, answer
    return [json.loads(one)[0]["label"] for one in answer.body["outputs"][0]["data"]]


def test_elements_of_bytes_are_files(worker: Worker) -> None:
    """Each is a row, without base64."""
    content = elements(LIGHT, DARK)
    assert labels(ask(worker, tensor(len(content)), content)) == ["light", "dark"]


@pytest.mark.parametrize(("datatype", "code"), [("FP32", "f"), ("FP64", "d"), ("FP16", "e"), ("UINT8", "B"), ("INT64", "q")])
def test_numbers_are_read_by_their_type(datatype: str, code: str) -> None:
    """The lowest byte first; two inputs stand one behind the other."""
    inputs = [tensor(struct.calcsize(f"<3{code}"), datatype, [3]), tensor(struct.calcsize(f"<1{code}"), datatype, [1])]
    document = json.dumps({"inputs": inputs}).encode()
    body = document + struct.pack(f"<4{code}", 3, 2, 1, 5)
    parts = with_document({"body": bytearray(body)}, {"inference-header-content-length": str(len(document))})
    assert [one["data"] for one in parts["body"]["inputs"]] == [[3, 2, 1], [5]]


@pytest.mark.parametrize(
    ("given", "binary", "length", "message"),
    [
        (tensor(9), b"1234", None, "An input has binary_data_size 9; found 4 bytes of it."),
        (tensor(0), b"1234", None, "The request has 4 bytes behind those of its inputs."),
        (tensor("9"), b"", None, "binary_data_size must be a number of bytes; found '9'."),
        (tensor(5), elements(b"12")[:5], None, "An element of BYTES is longer than its input."),
        (tensor(3, "FP32"), b"123", None, "binary_data_size 3 is no multiple of the 4 bytes of FP32."),
        (tensor(3, "FP8"), b"123", None, "datatype must be BYTES or one of BOOL, UINT8"),
        (tensor(0), b"", "seven", 'Inference-Header-Content-Length is seven: so many bytes must be JSON with "inputs"'),
        (tensor(0), b"", 10_000, 'Inference-Header-Content-Length is 10000: so many bytes must be JSON with "inputs"'),
        (tensor(0), b"", 7, 'Inference-Header-Content-Length is 7: so many bytes must be JSON with "inputs"'),
    ],
)
def test_bytes_that_do_not_fit_are_refused(
    worker: Worker, given: Any, binary: bytes, length: int | str | None, message: str
) -> None:
    """With what was promised and what was found."""
    answer = ask(worker, given, binary, length)
    assert answer.status == 400
    assert answer.body["message"].startswith(message)


def test_json_without_a_content_type_is_known_by_its_body(worker: Worker) -> None:
    """The client sends none; a body that is no request of KServe's stays what it is."""
    instances = json.dumps({"instances": [[[[1.0] * 4] * 4]]}).encode()
    assert worker.ask(instances)[0].body["predictions"][0][0]["label"] == "light"
    assert worker.ask(b'{"inputs": 1}')[0].status == 422
    assert worker.ask(b'{"inputs": [')[0].status == 422
