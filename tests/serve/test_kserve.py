"""KServe's Open Inference Protocol on a real server: asked by NVIDIA's client as it is, and over gRPC by its messages."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import grpc
import numpy as np
import pytest
import requests
from documents import blocks
from open_inference import Answered, Messages, infer, messages_of, stub_of
from servers import READY, Serving, serving
from tritonclient import http
from tritonclient.utils import InferenceServerException

from marina import paths
from marina.paths import Store
from marina.serving.free_ports import free_ports


@pytest.fixture(scope="module")
def kserve(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Both versions of digits, on a server that is told to speak the whole protocol."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TS_OPEN_INFERENCE_PROTOCOL", "oip")
        with serving(free_ports(), store, tmp_path_factory.mktemp("kserve")) as started:
            started.wait_for_output(READY)
            yield started


@pytest.fixture(scope="module")
def client(kserve: Serving) -> Iterator[http.InferenceServerClient]:
    with http.InferenceServerClient(f"127.0.0.1:{kserve.ports.inference_port}") as opened:
        yield opened


def image(content: bytes, binary: bool) -> http.InferInput:
    """An input of the client's; text within JSON is base64."""
    given = http.InferInput("image", [1], "BYTES")
    data = content if binary else base64.b64encode(content)
    given.set_data_from_numpy(np.array([data], dtype=object), binary_data=binary)
    return given


@pytest.mark.parametrize("binary", [True, False], ids=["as bytes", "as JSON"])
def test_the_client_gets_the_answers_of_predictions(
    client: http.InferenceServerClient, kserve: Serving, seven: bytes, binary: bool
) -> None:
    """Its own defaults send tensors as bytes behind the JSON; without them it sends JSON and no content type."""
    answer = client.infer("digits", [image(seven, binary)], request_id="mine")
    assert (answer.get_response()["id"], answer.get_response()["model_version"]) == ("mine", "1.0")
    (text,) = answer.as_numpy("answers")
    assert json.loads(text) == kserve.ask("/predictions/digits", seven).json()


def test_the_example_of_the_docs_works(kserve: Serving) -> None:
    """docs/roads.md's lines, typed in as they stand."""
    (example,) = [block for block in blocks(paths.ROOT / "docs" / "roads.md", "python") if "tritonclient" in block]
    example = example.replace("127.0.0.1:8080", f"127.0.0.1:{kserve.ports.inference_port}")
    done = subprocess.run([sys.executable, "-c", example], cwd=paths.ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("7\n", "")


def test_the_client_is_told_of_health(client: http.InferenceServerClient) -> None:
    """Alive, ready, and what the server is; TorchServe has no readiness or metadata of a model by REST."""
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.get_server_metadata()["name"] == "Torchserve"
    assert not client.is_model_ready("digits")


def test_the_client_is_told_of_refusals(client: http.InferenceServerClient, seven: bytes) -> None:
    """A bad image and an unknown model by their status; a version TorchServe refuses on these paths."""
    for content, model, version, status in (
        (b"no image", "digits", "", "422"),
        (seven, "digitz", "", "404"),
        (seven, "digits", "2.0", "501"),
    ):
        with pytest.raises(InferenceServerException) as refused:
            client.infer(model, [image(content, True)], version)
        assert refused.value.status() == status


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Messages]:
    with messages_of(tmp_path_factory.mktemp("proto")) as made:
        yield made


@pytest.fixture(scope="module")
def stub(kserve: Serving, messages: Messages) -> Iterator[Any]:
    with stub_of(messages, kserve.ports.grpc_inference_port) as calling:
        yield calling


@pytest.fixture(scope="module")
def ask(stub: Any, messages: Messages) -> Callable[..., Answered]:
    """Asks digits by gRPC."""
    return partial(infer, stub, messages, "digits")


def test_grpc_gives_the_answers_of_predictions(ask: Callable[..., Answered], kserve: Serving, seven: bytes) -> None:
    """Of the default version, and of one that is named; JSON text within JSON text, as TorchServe writes it."""
    assert ask(seven) == ("answers", "1.0", kserve.ask("/predictions/digits", seven).json())
    assert ask(seven, "2.0") == ("answers", "2.0", kserve.ask("/predictions/digits/2.0", seven).json())


def test_a_refusal_by_grpc_does_not_end_the_worker(ask: Callable[..., Answered], kserve: Serving, seven: bytes) -> None:
    """TorchServe ends a worker whose answer is not of the protocol's form: it has it, and says why in an output "error"."""
    workers = {process.pid for process in kserve.workers()}
    for bad, status in ((b"no image", 422), (b"", 400)):
        name, version, refusal = ask(bad)
        assert (name, version, refusal["code"]) == ("error", "1.0", status)
        assert refusal == kserve.ask("/predictions/digits", bad).json()
    assert ask(seven)[0] == "answers"
    assert {process.pid for process in kserve.workers()} == workers


def test_grpc_tells_of_health(stub: Any, messages: Messages) -> None:
    """The server's, and a version's; an unknown model is an error of the call."""
    assert stub.ServerLive(messages[0].ServerLiveRequest(), timeout=30).live
    assert stub.ServerReady(messages[0].ServerReadyRequest(), timeout=30).ready
    assert stub.ModelReady(messages[0].ModelReadyRequest(name="digits", version="2.0"), timeout=30).ready
    assert list(stub.ModelMetadata(messages[0].ModelMetadataRequest(name="digits"), timeout=30).versions) == ["1.0", "2.0"]
    with pytest.raises(grpc.RpcError, match="Model not found: digitz"):
        stub.ModelReady(messages[0].ModelReadyRequest(name="digitz"), timeout=30)


@pytest.mark.parametrize(
    "path", ["/invocations?model_name=digits", "/models/digits/invoke", "/digits/predict", "/digits/2.0/predict"]
)
def test_the_old_paths_are_answered(server: Serving, seven: bytes, path: str) -> None:
    """SageMaker's /invocations among them: they used to be held for ever, taken for a stream."""
    version = "2.0" if "2.0" in path else "1.0"
    answer = requests.post(server.url(path), data=seven, timeout=60)
    assert answer.status_code == 200
    assert answer.json() == server.ask(f"/predictions/digits/{version}", seven).json()
