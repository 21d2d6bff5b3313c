"""What callers get from a real server."""

from __future__ import annotations

import base64
import json
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import requests
from metrics_api import answers_of, of_version, samples, settled
from pictures import plain
from scripts_of_ours import load_file
from servers import Serving, eventually

from marina import paths
from marina.store.index import find_entry


@pytest.mark.parametrize(
    ("path", "version"),
    [("/predictions/digits", "1.0"), ("/predictions/digits/1.0", "1.0"), ("/predictions/digits/2.0", "2.0")],
)
def test_each_route_says_which_version_answered(server: Serving, seven: bytes, path: str, version: str) -> None:
    """A list, best first, of label and probability; the version in a header; the content type of JSON."""
    answer = server.ask(path, seven)
    assert answer.status_code == 200
    assert answer.headers["X-Model-Version"] == version
    assert answer.headers["Content-Type"] == "application/json"
    best, *rest = answer.json()
    assert best["label"] == "7"
    assert 0.5 < best["probability"] <= 1
    assert all(best["probability"] >= one["probability"] for one in rest)
    assert len(rest) == 2


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_both_versions_explain_themselves(server: Serving, seven: bytes, version: str) -> None:
    """TorchScript and eager alike: the class, its probability, and a map of what spoke for it."""
    answer = server.ask(f"/explanations/digits/{version}", seven)
    assert answer.headers["X-Model-Version"] == version
    body = answer.json()
    assert body["label"] == "7"
    assert [len(body["attributions"]), len(body["attributions"][0])] == [8, 8]
    assert any(value for line in body["attributions"] for value in line)


def test_the_printed_curl_lines_work(server: Serving) -> None:
    """The block that ends the start has three lines to paste: a prediction, an explanation, the metrics."""
    lines = [line.strip() for line in server.output.splitlines() if line.startswith("  curl ")]
    assert len(lines) == 3
    prediction, explanation, metrics = (
        subprocess.run([*shlex.split(line), "-sS", "--fail"], capture_output=True, text=True, check=True).stdout for line in lines
    )
    assert json.loads(prediction)[0]["label"] == "7"
    assert json.loads(explanation)["method"] == "integrated_gradients"
    assert 'model_name="digits",model_version="1.0"' in metrics


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (640, 480)])
def test_any_image_is_answered(server: Serving, file_format: str, size: tuple[int, int]) -> None:
    """Of any size and format."""
    assert server.ask("/predictions/digits", plain("RGB", size, 200, file_format)).status_code == 200


def test_forms_and_json_are_answered_like_raw_bytes(server: Serving, seven: bytes) -> None:
    """Curl -F, JSON with base64, and a plain body give the same answer."""
    url = server.url("/predictions/digits")
    form = requests.post(url, files={"data": seven}, timeout=30)
    document = requests.post(url, json={"data": base64.b64encode(seven).decode()}, timeout=30)
    assert form.json() == document.json() == server.ask("/predictions/digits", seven).json()


@pytest.mark.parametrize(
    ("content", "content_type", "status", "message"),
    [
        (b"hello, I am a text file", "application/octet-stream", 422, "Not an image that can be read"),
        (b"hello", "text/plain", 415, "the request is text"),
        (b"", "image/png", 400, "empty body: send the bytes of a file"),
        (b"x=1", "application/x-www-form-urlencoded", 400, "With curl, send it by -T FILE or -F data=@FILE"),
        (b'{"x": 1}', "application/json", 400, 'found no text under "data"'),
        (b"[1, 2]", "application/json", 422, "'data' must have shape [1, 8, 8]; found [2]."),
        (b"{broken", "application/json", 422, "Not an image that can be read"),
    ],
)
def test_a_bad_request_gets_a_status_and_a_sentence(
    server: Serving, content: bytes, content_type: str, status: int, message: str
) -> None:
    """Never a 503; the sentence says what was wrong and what to do; the version that refused is named."""
    answer = server.ask("/predictions/digits", content, **{"Content-Type": content_type})
    assert answer.status_code == status
    assert message in answer.json()["message"]
    assert answer.json()["code"] == status
    assert answer.headers["X-Model-Version"] == "1.0"


def test_twenty_megabytes_are_refused(server: Serving) -> None:
    """TorchServe's own limit answers 413."""
    assert server.ask("/predictions/digits", bytes(20_000_000)).status_code == 413


def test_an_unknown_model_and_an_unknown_version_are_404(server: Serving, seven: bytes) -> None:
    """With TorchServe's own message."""
    assert server.ask("/predictions/digitz", seven).status_code == 404
    assert server.ask("/predictions/digits/9.0", seven).status_code == 404


def test_a_mixed_batch_is_answered_row_by_row(server: Serving, seven: bytes) -> None:
    """Eight callers at once, in one batch: predictions, explanations and bad images, each as it asked."""
    asked: list[tuple[str, bytes, int, Any]] = [
        ("/predictions/digits/2.0", seven, 200, list),
        ("/explanations/digits/2.0", seven, 200, dict),
        ("/predictions/digits/2.0", b"no image", 422, dict),
        ("/explanations/digits/2.0", b"no image", 422, dict),
        ("/predictions/digits/2.0", seven, 200, list),
        ("/predictions/digits/2.0", b"", 400, dict),
        ("/explanations/digits/2.0", seven, 200, dict),
        ("/predictions/digits/2.0", seven, 200, list),
    ]
    batches, rows = (settled(partial(of_version, server, f"marina_batch_rows_{part}", "2.0")) for part in ("count", "sum"))
    with ThreadPoolExecutor(len(asked)) as callers:
        answers = list(callers.map(lambda one: server.ask(one[0], one[1]), asked))
    assert [answer.status_code for answer in answers] == [status for _, _, status, _ in asked]
    assert [type(answer.json()) for answer in answers] == [kind for _, _, _, kind in asked]
    assert all(
        answer.json()["attributions"] for answer in answers if answer.status_code == 200 and isinstance(answer.json(), dict)
    )
    assert {answer.headers["X-Model-Version"] for answer in answers} == {"2.0"}
    assert eventually(lambda: of_version(server, "marina_batch_rows_sum", "2.0") == rows + len(asked))
    assert of_version(server, "marina_batch_rows_count", "2.0") - batches < len(asked), "no batch formed: nothing was shown"


def test_held_out_digits_are_answered_as_measured(server: Serving) -> None:
    """The index says how many held-out images are labelled rightly; asked over HTTP, it is just as many."""
    training = load_file(paths.SPECS / "digits" / "training.py")
    images = list(training.held_out())
    with ThreadPoolExecutor(8) as callers:
        answers = callers.map(lambda one: server.ask("/predictions/digits/1.0", one[0]).json()[0]["label"] == one[1], images)
    accuracy = find_entry(server.store, "digits", "1.0").accuracy
    assert accuracy is not None
    assert accuracy.requests == len(images) == 360
    assert sum(answers) / len(images) == pytest.approx(accuracy.value, abs=1e-4)
    assert accuracy.value > 0.95


def test_kserve_requests_are_answered_while_batches_form(server: Serving, seven: bytes) -> None:
    """Sixteen callers at once by both of KServe's protocols, with batch size 8: the stock envelopes answer 503."""
    one = base64.b64encode(seven).decode()
    v1 = ("/v1/models/digits:predict", {"instances": [{"data": one}, {"data": one}]})
    v2 = ("/v2/models/digits/infer", {"id": "a", "inputs": [{"name": "i", "shape": [1], "datatype": "BYTES", "data": [one]}]})
    bad = ("/v1/models/digits:predict", {"instances": [{"data": "AAAA"}]})
    asked = [v1, v2, bad, v1] * 4
    with ThreadPoolExecutor(len(asked)) as callers:
        answers = list(callers.map(lambda ask: requests.post(server.url(ask[0]), json=ask[1], timeout=60), asked))
    assert [answer.status_code for answer in answers] == [200, 200, 422, 200] * 4
    assert [prediction[0]["label"] for prediction in answers[0].json()["predictions"]] == ["7", "7"]
    assert json.loads(answers[1].json()["outputs"][0]["data"][0])[0]["label"] == "7"
    assert {answer.headers["X-Model-Version"] for answer in answers} == {"1.0"}


def test_a_heat_map_is_a_picture(server: Serving, seven: bytes) -> None:
    """Accept: image/png turns an explanation into a picture."""
    answer = server.ask("/explanations/digits", seven, Accept="image/png")
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.content.startswith(b"\x89PNG")


def test_request_ids_and_traces_come_back(server: Serving, seven: bytes) -> None:
    """The id that the caller sent, beside TorchServe's own x-request-id, which no handler can change; and the trace."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = server.ask("/predictions/digits", seven, **{"X-Request-Id": "mine", "traceparent": trace})
    assert answer.headers["X-Client-Request-Id"] == "mine"
    assert answer.headers["traceparent"] == trace


def test_a_fast_model_is_seen_in_the_metrics(server: Serving, seven: bytes) -> None:
    """Buckets below TorchServe's smallest of 5 ms hold the inference of a small network."""
    for _ in range(20):  # whichever the machine is not too busy for
        server.ask("/predictions/digits", seven)
    labels = '{model_name="digits",model_version="1.0",stage="inference",le="%s",'

    def seen() -> bool:
        counts = samples(server, "marina_stage_seconds_bucket")
        found = {bound: sum(value for name, value in counts.items() if labels % bound in name) for bound in ("0.005", "+Inf")}
        return found["+Inf"] >= found["0.005"] > 0

    assert eventually(seen)


def test_metrics_name_the_version_that_answered(server: Serving) -> None:
    """Answers are counted by the version that gave them, also where the request named none, by kind and by status."""
    asked = server.ask("/explanations/digits", b"text", **{"Content-Type": "text/plain"})  # no other test asks that
    assert asked.status_code == 415
    assert eventually(lambda: answers_of(server, "1.0", "explain", 415) == 1)


def test_what_is_loaded_describes_itself(server: Serving) -> None:
    """The Management API tells the digest of what a worker loaded: it is the one that the build recorded."""
    answer = requests.get(server.url("/models/digits/2.0?customized=true", "management"), timeout=30).json()[0]
    description = answer["customizedMetadata"]
    assert description["content_sha256"] == find_entry(server.store, "digits", "2.0").content_sha256
    assert (description["runtime"], description["handler"]) == ("eager", "ImageClassifier")
    assert description["labels"] == list("0123456789")


def test_archives_from_elsewhere_are_not_registered(server: Serving) -> None:
    """Neither a file of the machine nor an address: only what lies in the store."""
    for url in ("file:///etc/hostname", "http://127.0.0.1:1/model_store/archives/x.mar", "../index.json"):
        answer = requests.post(server.url("/models", "management"), params={"url": url}, timeout=30)
        assert answer.status_code == 404, answer.text
    assert not (server.store.archives / "hostname").exists()
