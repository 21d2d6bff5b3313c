"""KServe's Open Inference Protocol over gRPC, by the messages of config/open_inference.proto."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from marina import paths

PROTO = paths.CONFIG / "open_inference.proto"
Messages = tuple[Any, Any]
Answered = tuple[str, str, Any]  # name of the one output, version, and what its text says


@contextmanager
def messages_of(folder: Path) -> Iterator[Messages]:
    """The modules that grpc_tools makes of the file, in a folder, by the command that stands in it."""
    outputs = [f"--python_out={folder}", f"--grpc_python_out={folder}"]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", "-I", str(PROTO.parent), *outputs, str(PROTO)], check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield importlib.import_module("open_inference_pb2"), importlib.import_module("open_inference_pb2_grpc")


@contextmanager
def stub_of(messages: Messages, port: int) -> Iterator[Any]:
    """What calls a server of this machine."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield messages[1].GRPCInferenceServiceStub(channel)


def infer(stub: Any, messages: Messages, model: str, content: bytes, version: str = "") -> Answered:
    """Ask with one row; TorchServe's answer is JSON text within JSON text."""
    kind = messages[0].ModelInferRequest.InferInputTensor
    contents = messages[0].InferTensorContents(bytes_contents=[content])
    tensor = kind(name="image", datatype="BYTES", shape=[1], contents=contents)
    request = messages[0].ModelInferRequest(model_name=model, model_version=version, id="mine", inputs=[tensor])
    answer = stub.ModelInfer(request, timeout=120)
    (output,) = answer.outputs
    (text,) = output.contents.bytes_contents
    assert answer.id == "mine"
    return output.name, answer.model_version, json.loads(json.loads(text))
