"""What SageMaker's PyTorch toolkit calls: an archive's own handler answers, with its own statuses.

To have an explanation in place of a prediction, send ``X-Amzn-SageMaker-Custom-Attributes: explain``.
"""

from __future__ import annotations

import os
import sys
from http import HTTPStatus
from pathlib import Path
from typing import Any

import ts
from archive_worker import ask, load
from sagemaker_inference.errors import GenericInferenceToolkitError

METRICS = Path(ts.__file__).parent / "configs" / "metrics.yaml"
ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"


def model_fn(model_dir: str) -> Any:
    """The archive, loaded as TorchServe's worker loads it."""
    folder = Path(model_dir).resolve() / "archive"
    sys.path.insert(0, str(folder))
    os.chdir(folder)
    return load(folder, str(METRICS))


def input_fn(body: bytes | str, _content_type: str) -> bytes:
    """The request as it came: the handler reads images, JSON and KServe's envelopes by itself."""
    return body.encode() if isinstance(body, str) else bytes(body)


def predict_fn(body: bytes, service: Any, context: Any = None) -> str:
    """The handler's answer.

    Raises:
        GenericInferenceToolkitError: it refuses the request, with its status and its sentence.
    """
    wanted = context.get_request_header(0, ATTRIBUTES) if context else None
    answer = ask(service, [body], "explain" if wanted == "explain" else None)[0]
    if answer["status"] != HTTPStatus.OK:
        raise GenericInferenceToolkitError(answer["status"], answer["body"], HTTPStatus(answer["status"]).phrase)
    return str(answer["body"])


def output_fn(answer: str, _accept: str) -> tuple[str, str]:
    """JSON, whatever was asked for: the handler knows no other form."""
    return answer, "application/json"
