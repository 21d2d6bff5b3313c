"""Triton's Python backend: an archive's own handler answers, row by row.

Input    request  BYTES [rows, 1]   the body of a request, as TorchServe takes it
         explain  BOOL [rows, 1]    optional: explain in place of predicting
Output   answer   BYTES [rows, 1]   JSON, a refusal's too
         status   INT32 [rows, 1]   HTTP's
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as triton
import ts

HERE = Path(__file__).resolve().parent
METRICS = Path(ts.__file__).parent / "configs" / "metrics.yaml"


class TritonPythonModel:
    """What the backend makes one of for each instance."""

    def initialize(self, _arguments: dict[str, str]) -> None:
        """Load the archive as TorchServe's worker loads it."""
        sys.path[:0] = [str(HERE / "archive"), str(HERE)]
        os.chdir(HERE / "archive")
        from archive_worker import ask, load

        self.ask, self.service = ask, load(HERE / "archive", str(METRICS))

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer all rows of all requests as one batch; a refused row costs its neighbours nothing."""
        bodies = [_of(request, "request") for request in requests]
        marks = [_of(request, "explain", [False] * len(body)) for request, body in zip(requests, bodies, strict=True)]
        answers = iter(self._answers([row for body in bodies for row in body], [bool(one) for mark in marks for one in mark]))
        return [_response([next(answers) for _ in body]) for body in bodies]

    def _answers(self, rows: list[bytes], explained: list[bool]) -> list[dict[str, Any]]:
        found: dict[int, dict[str, Any]] = {}
        for explain in (False, True):
            places = [place for place, wanted in enumerate(explained) if wanted == explain]
            if places:
                answers = self.ask(self.service, [rows[place] for place in places], "explain" if explain else None)
                found |= dict(zip(places, answers, strict=True))
        return [found[place] for place in range(len(rows))]


def _of(request: Any, name: str, left_out: list[Any] | None = None) -> list[Any]:
    tensor = triton.get_input_tensor_by_name(request, name)
    return list(tensor.as_numpy().flatten()) if tensor is not None else left_out or []


def _response(answers: list[dict[str, Any]]) -> Any:
    texts = np.array([[answer["body"].encode()] for answer in answers], dtype=np.object_)
    statuses = np.array([[answer["status"]] for answer in answers], dtype=np.int32)
    return triton.InferenceResponse([triton.Tensor("answer", texts), triton.Tensor("status", statuses)])
