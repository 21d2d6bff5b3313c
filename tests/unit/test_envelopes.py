"""A request of KServe's protocols is answered in its own form, and its rows as if each had come alone."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from pictures import plain
from workers import Answer, Worker, config, image_classifier, traced

LIGHT, DARK = (base64.b64encode(plain("L", (5, 5), color)).decode() for color in (255, 0))


class Mean(torch.nn.Module):
    """Two classes by brightness."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        mean = images.mean((1, 2, 3))
        return torch.stack([0.5 - mean, mean - 0.5], dim=1)


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    settings = config({"size": [4, 4], "mode": "L", "top_k": 1}, ["dark", "light"])
    settings["handlerkit"]["limits"] = {"rows": 4, "megabytes": 0.001}
    return Worker(image_classifier(), traced(tmp_path, Mean(), (1, 4, 4)), settings)


def ask(worker: Worker, document: Any) -> Answer:
    return worker.ask({"body": document})[0]


@pytest.mark.parametrize("instance", [LIGHT, {"data": LIGHT}, {"b64": LIGHT}, {"image": LIGHT}])
def test_version_1_answers_predictions(worker: Worker, instance: Any) -> None:
    """Text, data and TensorFlow's b64 are the same instance."""
    answer = ask(worker, {"instances": [instance, {"data": DARK}]})
    assert answer.status == 200
    assert [one[0]["label"] for one in answer.body["predictions"]] == ["light", "dark"]


def test_version_1_answers_explanations(worker: Worker) -> None:
    """:explain has a key of its own."""
    answer = worker.ask({"body": {"instances": [LIGHT]}}, headers=[{"explain": "True"}])[0]
    assert answer.body["explanations"][0]["label"] == "light"


@pytest.mark.filterwarnings("ignore::UserWarning")  # Captum's
def test_a_picture_within_an_envelope_is_base64(worker: Worker) -> None:
    """The bytes of a PNG are no text."""
    answer = worker.ask({"body": {"instances": [LIGHT]}}, headers=[{"explain": "True", "Accept": "image/png"}])[0]
    assert base64.b64decode(answer.body["explanations"][0], validate=True).startswith(b"\x89PNG")


def v2(**changes: Any) -> dict[str, Any]:
    return {"id": "a1", "inputs": [{"name": "image", "shape": [2], "datatype": "BYTES", "data": [LIGHT, DARK]} | changes]}


def test_version_2_answers_outputs(worker: Worker) -> None:
    """Each answer as JSON text in one output of BYTES, with the caller's id and the version that answered."""
    answer = ask(worker, v2())
    assert (answer.body["id"], answer.body["model_name"], answer.body["model_version"]) == ("a1", "tiny", "1.0")
    (output,) = answer.body["outputs"]
    assert (output["datatype"], output["shape"]) == ("BYTES", [2])
    assert [json.loads(one)[0]["label"] for one in output["data"]] == ["light", "dark"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": [3]}, "Input 'image': shape [3] needs 3 values; found 2."),
        ({"shape": ["2"]}, "shape must be a list of sizes, rows first; found ['2']"),
        ({"shape": []}, "shape must be a list of sizes"),
        ({"datatype": "FP8"}, "datatype must be BYTES or one of BOOL, UINT8"),
        ({"datatype": "FP32"}, "data does not fit FP32"),
        ({"datatype": "INT8", "data": [1000, 1]}, "data does not fit INT8"),
        ({"data": "AAAA"}, 'must have "data", a list'),
        ({"name": None}, 'must have "name", text'),
    ],
)
def test_a_malformed_version_2_request_is_refused(worker: Worker, changes: dict[str, Any], message: str) -> None:
    """400, and what was wrong with which input."""
    answer = ask(worker, v2(**changes))
    assert answer.status == 400
    assert message in answer.body["message"]


def test_inputs_of_different_lengths_are_refused(worker: Worker) -> None:
    """Rows of several inputs belong together."""
    other = {"name": "other", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    answer = ask(worker, {"inputs": [*v2()["inputs"], other]})
    assert answer.body["message"] == "The inputs must have as many rows as each other; found {'image': 2, 'other': 1}."


def test_one_bad_row_refuses_its_request_and_no_other(worker: Worker) -> None:
    """The protocols have no status for a row; the message says which one, and batch-mates are answered."""
    good, bad = {"instances": [LIGHT]}, {"instances": [LIGHT, "AAAA"]}
    first, second, third = worker.ask({"body": good}, {"body": bad}, {"body": plain("L", (3, 3), 0)})
    assert (first.status, second.status, third.status) == (200, 422, 200)
    assert second.body["message"].startswith("Row 1: Not an image")
    assert third.body[0]["label"] == "dark"


def test_too_many_rows_are_refused(worker: Worker) -> None:
    """413, with the limit of the spec in the text."""
    answer = ask(worker, {"instances": [LIGHT] * 5})
    assert (answer.status, answer.body["message"]) == (413, "The request has 5 rows; the limit is 4.")


def test_too_large_a_payload_is_refused(worker: Worker) -> None:
    """413, with the limit of the spec in the text."""
    answer = ask(worker, {"data": base64.b64encode(bytes(2000)).decode()})
    assert (answer.status, answer.body["message"]) == (413, "The payload has 0.0 MB; the limit is 0.001 MB.")


def test_no_rows_are_refused(worker: Worker) -> None:
    """An empty list is no question."""
    assert ask(worker, {"instances": []}).body["message"] == "The request has no rows."
    assert ask(worker, {"inputs": []}).body["message"] == '"inputs" is empty.'


def test_parameters_hold_for_every_row(worker: Worker) -> None:
    """What a request says beside its instances concerns all of them."""
    answer = ask(worker, {"instances": [LIGHT, DARK], "parameters": {"top_k": 2}})
    assert [len(one) for one in answer.body["predictions"]] == [2, 2]


@pytest.mark.parametrize(
    ("options", "status"),
    [({"top_k": 2}, 200), ({"top_k": 0}, 400), ({"top_k": "many"}, 400), ({"threshold": 0.99}, 200), ({"threshold": 2}, 400)],
)
def test_options_of_a_request_are_checked(worker: Worker, options: dict[str, Any], status: int) -> None:
    """top_k and threshold for one request; what is no number of theirs is refused."""
    answer = ask(worker, {"data": LIGHT} | options)
    assert answer.status == status
    if status != 200:
        assert "must be a number from" in answer.body["message"]


def test_a_late_row_is_not_computed(worker: Worker) -> None:
    """Whose deadline has passed gets 504, whose has not is answered; what is no time is no deadline."""
    row = {"body": plain("L", (3, 3), 0)}
    deadlines = [{"X-Request-Deadline": str(time.time() + seconds)} for seconds in (-1, 60)]
    answers = worker.ask(row, row, row, headers=[*deadlines, {"X-Request-Deadline": "soon"}])
    assert [answer.status for answer in answers] == [504, 200, 200]


def test_request_ids_and_traces_come_back(worker: Worker) -> None:
    """Whatever the case of the header: the same id out as in."""
    sent = {"x-request-ID": "mine", "Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    headers = worker.ask({"body": plain()}, headers=[sent])[0].headers
    assert headers["X-Client-Request-Id"] == "mine"
    assert headers["traceparent"] == sent["Traceparent"]
