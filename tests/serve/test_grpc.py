"""What callers get by gRPC from a real server."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from metrics_api import of_version, settled
from servers import Serving

from marina import paths

PROTO = paths.CONFIG / "inference.proto"

Predict = Callable[..., Any]


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any]]:
    """The modules that grpc_tools makes of config/inference.proto, by the command that stands in it."""
    folder = tmp_path_factory.mktemp("proto")
    outputs = [f"--python_out={folder}", f"--grpc_python_out={folder}"]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", "-I", str(PROTO.parent), *outputs, str(PROTO)], check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield importlib.import_module("inference_pb2"), importlib.import_module("inference_pb2_grpc")


@pytest.fixture(scope="module")
def stub(server: Serving, messages: tuple[Any, Any]) -> Iterator[Any]:
    with grpc.insecure_channel(f"127.0.0.1:{server.ports.grpc_inference_port}") as channel:
        yield messages[1].InferenceAPIsServiceStub(channel)


@pytest.fixture(scope="module")
def predict(stub: Any, messages: tuple[Any, Any]) -> Predict:
    """Asks a version for a prediction; the keywords are the parts of the request."""

    def ask(version: str = "", model: str = "digits", **parts: bytes) -> Any:
        request = messages[0].PredictionsRequest(model_name=model, model_version=version, input=parts)
        return json.loads(stub.Predictions(request, timeout=60).prediction)

    return ask


def test_ping_is_answered(stub: Any) -> None:
    """TorchServe's own health."""
    assert json.loads(stub.Ping(Empty(), timeout=30).health)["status"] == "Healthy"


@pytest.mark.parametrize("part", ["data", "body", "image", "file"])
def test_bytes_are_taken_under_each_name(predict: Predict, server: Serving, seven: bytes, part: str) -> None:
    """The parts of a gRPC request are those of a form, and the answer is that of HTTP."""
    assert predict(**{part: seven}) == server.ask("/predictions/digits", seven).json()


def test_options_stand_beside_the_data_and_a_version_may_be_named(predict: Predict, server: Serving, seven: bytes) -> None:
    """top_k is a part of its own, as text; a version that is named answers."""
    (one,) = predict("2.0", data=seven, top_k=b"1")
    assert one == server.ask("/predictions/digits/2.0", seven).json()[0]


def test_a_refusal_is_an_answer_by_grpc(predict: Predict, server: Serving, seven: bytes) -> None:
    """TorchServe drops the status of a row: the call is OK, and the JSON says code, type and message as by HTTP."""
    for part in (b"no image", b""):
        assert predict(data=part) == server.ask("/predictions/digits", part).json()
    assert predict(data=seven, top_k=b"none")["code"] == 400


def test_one_bad_row_among_eight_costs_nobody_else(predict: Predict, server: Serving, seven: bytes) -> None:
    """Concurrent calls form a batch, and each gets its own answer."""
    batches, rows = (settled(partial(of_version, server, f"marina_batch_rows_{part}", "2.0")) for part in ("count", "sum"))
    asked = [seven] * 3 + [b"no image"] + [seven] * 4
    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(lambda content: predict("2.0", data=content), asked))
    assert answers[3]["code"] == 422
    assert [answer[0]["label"] for index, answer in enumerate(answers) if index != 3] == ["7"] * 7
    assert settled(partial(of_version, server, "marina_batch_rows_count", "2.0")) - batches < len(asked)
    assert of_version(server, "marina_batch_rows_sum", "2.0") - rows == len(asked)


def test_there_are_no_explanations_by_grpc(predict: Predict, seven: bytes) -> None:
    """TorchServe has no call for them, and nothing in a request asks for one: a part "explain" is none."""
    assert isinstance(predict(data=seven, explain=b"True"), list)


@pytest.mark.parametrize(
    ("model", "version", "message"),
    [
        ("digitz", "", "Model not found: digitz"),
        ("digits", "9.0", "Model version: 9.0 does not exist for model: digits"),
        ("", "", "Parameter model_name is required."),
    ],
)
def test_what_reaches_no_worker_is_an_error_of_torchserves(
    predict: Predict, seven: bytes, model: str, version: str, message: str
) -> None:
    """The call fails, and the details have TorchServe's text."""
    with pytest.raises(grpc.RpcError) as failed:
        predict(version, model, data=seven)
    assert message in failed.value.details()


@pytest.mark.parametrize("content", [None, b"no image"], ids=["an image", "no image"])
def test_a_stream_of_one_answer_ends(
    stub: Any, messages: tuple[Any, Any], server: Serving, seven: bytes, content: bytes | None
) -> None:
    """StreamPredictions on a model that does not stream: one answer, and the worker lives; TorchServe would end it."""
    workers = server.workers()
    request = messages[0].PredictionsRequest(model_name="digits", input={"data": content or seven})
    (answer,) = stub.StreamPredictions(request, timeout=60)
    assert json.loads(answer.prediction) == server.ask("/predictions/digits", content or seven).json()
    assert server.workers() == workers
