"""Requests that once were an error for whoever shared their batch, or ended the worker, each with what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

JSON = {"Content-Type": "application/json"}
EXPLAINED = JSON | {"explain": "True"}
LENGTH = "Inference-Header-Content-Length"
DEPTHS = (950, 968, 972, 976, 980, 984, 988)  # Python reads some 990 lists within each other, and writes some fewer
Ended = tuple[str, bytes, dict[str, str]]  # what is wrong, the body, the headers


def once_ended_a_batch() -> Iterator[Ended]:
    """The requests."""
    yield "a size of 31 digits", _tensors(shape=[10**30]), JSON
    yield "sizes of 4,000 digits", _tensors(shape=[1, 10**4000, 10**4000]), JSON
    yield "a hundred dimensions", _tensors(shape=[1] * 100, datatype="FP32", data=[1]), JSON
    yield "an empty tensor of huge sides", _tensors(shape=[1, 0, 10**30], datatype="FP32", data=[]), JSON
    yield "an id that is no number", _tensors(of={"id": float("nan")}), JSON
    yield "an id that is deep", _tensors(of={"id": "deep"}).replace(b'"deep"', _deep(980)), JSON
    yield "a length of 5,000 digits", b'{"inputs": []}', {LENGTH: "9" * 5000}
    odd = _tensors(datatype=[], parameters={"binary_data_size": 0})
    yield "a datatype that is a list", odd, {LENGTH: str(len(odd))}
    yield "a target of 5,000 digits", json.dumps({"data": [1, 2, 3], "target": "9" * 5000}).encode(), EXPLAINED
    yield "one long text among many short ones", json.dumps({"data": ["x"] * 100_000 + ["y" * 1_000_000]}).encode(), JSON
    yield "a name of a million characters", json.dumps({"inputs": {"size" * 250_000: [1]}}).encode(), JSON
    yield "numbers that are text", b'{"data": ["1", "2", "3"]}', JSON
    for depth in DEPTHS:
        yield f"an option {depth} deep", b'{"data": [1, 2, 3], "top_k": %s}' % _deep(depth), JSON
        options = b'"form": %s, "method": %s, "target": %s' % ((_deep(depth),) * 3)
        yield f"options {depth} deep", b'{"data": [1, 2, 3], %s}' % options, EXPLAINED


def _tensors(of: dict[str, Any] | None = None, **changed: Any) -> bytes:
    tensor = {"name": "x", "shape": [1], "datatype": "BYTES", "data": ["a"]} | changed
    return json.dumps({"inputs": [tensor], **(of or {})}).encode()


def _deep(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth
