"""Every row of a batch is answered as it asked, and none at the cost of another."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from doublers import Doubler, Twice
from handlerkit import ModelHandler
from ts.torch_handler.base_handler import BaseHandler
from workers import Worker, config, image_classifier, traced


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(Doubler(), traced(tmp_path, Twice(), (1,)), config(), version="3.1")


def bodies(*values: Any) -> list[dict[str, Any]]:
    return [{"body": value} for value in values]


def test_a_batch_is_answered_in_order(worker: Worker) -> None:
    """Row i gets the answer to row i, as JSON, with the version that gave it."""
    answers = worker.ask(*bodies(1, 2, 3))
    assert [answer.body for answer in answers] == [{"twice": 2.0}, {"twice": 4.0}, {"twice": 6.0}]
    assert {answer.status for answer in answers} == {200}
    assert answers[0].headers == {"content-type": "application/json", "X-Model-Version": "3.1"}


def test_a_refused_row_leaves_its_batch_mates_alone(worker: Worker) -> None:
    """One bad row among eight: seven 200s and one 422 that says why."""
    answers = worker.ask(*bodies(1, 2, 3, "word", 5, 6, 7, 8))
    assert [answer.status for answer in answers] == [200, 200, 200, 422, 200, 200, 200, 200]
    assert answers[3].body == {"code": 422, "type": "UnprocessableInput", "message": "A word is no number."}
    assert answers[4].body == {"twice": 10.0}
    assert answers[3].headers["X-Model-Version"] == "3.1"


@pytest.mark.parametrize("culprit", [13, 14, math.inf], ids=["inference", "postprocess", "an answer JSON cannot say"])
def test_a_stage_that_raises_costs_only_the_row_at_fault(worker: Worker, culprit: float) -> None:
    """Whichever stage raises, the batch is halved until the culprit stands alone, and it alone gets a 500."""
    answers = worker.ask(*bodies(1, 2, culprit, 4, 5))
    assert [answer.status for answer in answers] == [200, 200, 500, 200, 200]
    assert answers[4].body == {"twice": 10.0}


def test_a_fault_of_ours_is_logged_and_not_told(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    """The caller learns the request id; the log has the cause under it, once."""
    with caplog.at_level(logging.ERROR):
        answer = worker.ask(*bodies(1, 13))[1]
    assert "request id-1" in answer.body["message"]
    assert "secret" not in str(answer.body)
    assert [record.getMessage() for record in caplog.records] == ["request id-1 failed in the model"]


def test_an_error_that_hurts_the_process_ends_the_worker(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    """Out of memory is no row's fault: the worker ends, so that TorchServe starts a sound one."""
    with pytest.raises(SystemExit):
        worker.ask(*bodies(1, 15))
    assert "the worker ends, to be started anew: MemoryError" in caplog.text


def test_a_mixed_batch_is_answered_as_each_row_asks(worker: Worker) -> None:
    """Predict, explain and describe in one batch: each row its own, whatever row 0 asked."""
    headers = [{}, {"Explain": "True"}, {"describe": "True"}, {"explain": "False"}, {"explain": "True"}]
    answers = worker.ask(*bodies(1, 2, 0, 4, "word"), headers=headers)
    assert [answer.status for answer in answers] == [200, 200, 200, 200, 422]
    assert answers[0].body == {"twice": 2.0}
    assert answers[1].body == {"because": 2.0}
    assert answers[2].body["runtime"] == "torchscript"
    assert len(answers[2].body["content_sha256"]) == 64
    assert answers[3].body == {"twice": 8.0}


def test_a_handler_without_explanations_says_so(tmp_path: Path) -> None:
    """Asking for an explanation that does not exist is the caller's mistake, not ours."""

    class Plain(Doubler):
        explain_row = ModelHandler.explain_row

    answer = Worker(Plain(), traced(tmp_path, Twice(), (1,)), config()).ask({"body": 1}, headers=[{"explain": "True"}])[0]
    assert answer.status == 400
    assert "This model has no explanations" in answer.body["message"]


def test_metrics_carry_the_version_that_answered(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    """Answers are counted by model, true version, kind and status, refusals by reason, batches and answers by time."""
    with caplog.at_level(logging.INFO):
        worker.ask(*bodies(1, "word"))
        worker.handler.meter.flush()
    written = [record.getMessage() for record in caplog.records if "[METRICS]" in record.getMessage()]
    model = "model_name:tiny,model_version:3.1"
    for line in (
        f"marina_answers_total.Count:1|#{model},kind:predict,status:422|",
        f"marina_refusals_total.Count:1|#{model},reason:UnprocessableInput|",
        f"marina_batch_rows_bucket.Count:1|#{model},le:2|",
        f"marina_batch_rows_sum.Count:2|#{model}|",
        f"marina_stage_seconds_count.Count:1|#{model},stage:inference|",
        f"marina_handler_seconds_bucket.Count:1|#{model},le:+Inf|",
        f"marina_answer_seconds_count.Count:2|#{model},kind:predict|",
        f"marina_answer_seconds_bucket.Count:2|#{model},kind:predict,le:+Inf|",
    ):
        assert any(line in one for one in written), (line, written)


class Legacy(BaseHandler):
    """Written for TorchServe's BaseHandler, knowing nothing of ours."""

    def preprocess(self, data: Any) -> torch.Tensor:
        return torch.tensor([[float(row.get("data") or row.get("body"))] for row in data])

    def postprocess(self, data: Any) -> Any:
        return [f"twice is {value[0]}" for value in data.tolist()]


def test_a_handler_for_basehandler_works_on_ours(tmp_path: Path) -> None:
    """Changing the base is all it takes; its answers stay text, and a bad row no longer fails the batch."""

    class Moved(ModelHandler):
        preprocess = Legacy.preprocess  # type: ignore[assignment]  # BaseHandler's own names and arguments
        postprocess = Legacy.postprocess  # type: ignore[assignment]

    answers = Worker(Moved(), traced(tmp_path, Twice(), (1,)), config()).ask(*bodies(1, "word", 3))
    assert [answer.status for answer in answers] == [200, 500, 200]
    assert [answers[0].body, answers[2].body] == ["twice is 2.0", "twice is 6.0"]


def test_an_archive_of_another_builder_is_refused_at_load(tmp_path: Path) -> None:
    """The operator learns at load that the archive has no section of ours."""
    with pytest.raises(ValueError, match="no 'handlerkit' section: build the archive with scripts/build_mar"):
        Worker(Doubler(), traced(tmp_path, Twice(), (1,)), {})


def test_an_unknown_runtime_is_refused_at_load(tmp_path: Path) -> None:
    """The runtimes that exist are named."""
    with pytest.raises(ValueError, match="unknown runtime 'onyx'; there are: eager, torchscript, export"):
        Worker(Doubler(), traced(tmp_path, Twice(), (1,)), config(runtime="onyx"))


def test_an_unfinished_handler_says_what_is_missing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A handler without hooks fails in the log with the name of what it lacks."""

    class Empty(ModelHandler):
        pass

    answer = Worker(Empty(), traced(tmp_path, Twice(), (1,)), config()).ask({"body": 1})[0]
    assert answer.status == 500
    assert "Empty defines neither preprocess_row nor preprocess" in caplog.text


def test_an_archive_that_refuses_its_own_sample_does_not_load(tmp_path: Path) -> None:
    """Better no worker than one whose first caller finds out."""
    settings = config({"size": [4, 4], "mode": "L"})
    settings["handlerkit"]["sample"] = {"request": "sample.png"}
    folder = traced(tmp_path, torch.nn.Flatten(), (1, 4, 4))
    (folder / "sample.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="the archive's own sample is refused: Not an image that can be read"):
        Worker(image_classifier(), folder, settings)
