"""handlerkit.testing runs any handler as a worker would, and says of a bad one what is wrong with it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from handlerkit.testing import DESCRIBE, EXPLAIN, PREDICT, RowsFailedError, Worker, alike, check_rows, hostile_rows, pack
from pictures import plain
from workers import config, image_classifier, traced

from marina import paths

pytest_plugins = ["handlerkit.testing"]

OWN_HANDLER = '''
"""Counts letters, row by row; knows nothing of Marina."""
import json
from pathlib import Path

from ts.torch_handler.base_handler import BaseHandler
import words


class Counter(BaseHandler):
    def initialize(self, context):
        self.version = context.manifest["model"]["modelVersion"]
        self.unit = context.model_yaml_config["unit"]
        self.greeting = Path("greeting.txt").read_text()  # a worker's folder is its archive

    def handle(self, data, context):
        return [self.answer(row, index, context) for index, row in enumerate(data)]

    def answer(self, row, index, context):
        context.set_response_header(index, "X-Model-Version", self.version)
        content = row.get("body")
        if not isinstance(content, (bytes, bytearray)) or not content:
            context.set_response_status(422, "Unprocessable", index)
            return "no text"
        if context.get_request_header(index, "explain") == "True":
            return {"because": words.PHRASE}
        return {self.unit: len(content), "greeting": self.greeting}
'''


class Six(torch.nn.Module):
    """Six classes by brightness."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        mean = images.mean((1, 2, 3))
        return torch.stack([mean * factor for factor in range(6)], dim=1)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A handler of somebody else's, with a module and a file of its own."""
    (tmp_path / "count_letters.py").write_text(OWN_HANDLER)
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra" / "words.py").write_text("PHRASE = 'it is long'")
    (tmp_path / "greeting.txt").write_text("hello")
    files = [tmp_path / "extra", tmp_path / "greeting.txt"]
    return pack(tmp_path / "archive", tmp_path / "count_letters.py", extra_files=files, config={"unit": "letters"}, version="4")


def test_a_handler_of_somebody_elses_is_asked_row_by_row(worker: Worker) -> None:
    """Status, body and headers of each row, from a handler that has nothing of ours; its files are found as in a worker."""
    one, two, three = worker.ask(b"abc", {"body": 7}, b"abc", headers=[PREDICT, {}, EXPLAIN])
    assert (one.status, one.body, one.headers) == (200, {"letters": 3, "greeting": "hello"}, {"X-Model-Version": "4"})
    assert (two.status, two.body) == (422, "no text")
    assert three.body == {"because": "it is long"}
    assert [one.failure, two.failure] == [None, None]


def test_a_handler_that_answers_row_by_row_passes(worker: Worker) -> None:
    """Good and bad rows, predictions and explanations, in batches: nothing to say."""
    check_rows(worker, good=[b"abc", b"a"], bad=[b"", {"body": {"a": 1}}], without=["describe"])


def test_two_archives_may_have_modules_of_one_name(archive: Path, tmp_path: Path) -> None:
    """Each worker sees its own, the test neither, and what a worker imported is gone when it has answered."""
    other = pack(tmp_path / "other", archive / "count_letters.py", config={"unit": "signs"})
    (other / "words.py").write_text("PHRASE = 'it is other'")
    (other / "greeting.txt").write_text("bye")
    with Worker.load(archive) as first, Worker.load(other) as second:
        for worker, phrase in ((first, "it is long"), (second, "it is other"), (first, "it is long")):
            assert worker.ask(b"a", headers=[EXPLAIN])[0].body == {"because": phrase}
    assert "words" not in sys.modules
    assert str(archive) not in sys.path


def test_a_packed_archive_is_loaded_as_an_unpacked_one(archive: Path, tmp_path: Path) -> None:
    """A .mar is unpacked for as long as its worker lives."""
    with zipfile.ZipFile(tmp_path / "letters.mar", "w") as file:
        for path in archive.rglob("*"):
            file.write(path, path.relative_to(archive))
    with Worker.load(tmp_path / "letters.mar") as worker:
        assert worker.ask(b"abc")[0].body["letters"] == 3
        unpacked = Path(worker.handler.initialize.__globals__["__file__"]).parent
        assert (unpacked / "greeting.txt").exists()
    assert not unpacked.exists()


FUNCTION = """
import json


def count(data, context):
    if data is None:
        return None  # TorchServe initializes functions so
    return {result}
"""


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("[len(row['body']) for row in data][:-1]", "number of batch response mismatched"),
        ("'three'", "Invalid model predict output"),
        ("[{1, 2} for row in data]", "Unsupported model output data type."),
        ("[1 / 0 for row in data]", "Prediction failed"),
    ],
    ids=["too few", "no list", "no JSON", "raises"],
)
def test_what_torchserve_makes_of_a_broken_contract_is_answered(tmp_path: Path, result: str, message: str) -> None:
    """503 to the whole batch, with TorchServe's own text for the callers."""
    (tmp_path / "count.py").write_text(FUNCTION.format(result=result))
    with Worker.load(pack(tmp_path / "archive", f"{tmp_path}/count.py:count")) as worker:
        answers = worker.ask(b"a", b"ab")
    assert [answer.status for answer in answers] == [503, 503]
    assert answers[0].body == {"code": 503, "type": "InternalServerException", "message": message}
    assert answers[0].failure == ("ZeroDivisionError: division by zero" if message == "Prediction failed" else message)


def test_why_a_handler_does_not_import_is_told(tmp_path: Path) -> None:
    """TorchServe would say that no module ts.torch_handler.broken is there."""
    (tmp_path / "broken.py").write_text("import no_such_library")
    with pytest.raises(ModuleNotFoundError, match="No module named 'no_such_library'"):
        Worker.load(pack(tmp_path / "archive", tmp_path / "broken.py"))


def test_what_a_test_forgot_is_named(tmp_path: Path) -> None:
    """Without an archive there is no worker, and pytest says what to define."""
    (tmp_path / "test_it.py").write_text("pytest_plugins = ['handlerkit.testing']\ndef test_it(worker): ...\n")
    done = run_pytest(tmp_path)
    assert done.returncode == 1, done.stdout
    assert "define a fixture named archive that returns a .mar, or the folder that handlerkit.testing.pack made" in done.stdout


def test_a_worker_imports_no_pytest() -> None:
    """What an archive carries of handlerkit does not know its testing."""
    program = (
        "import sys, handlerkit.model_handler; print([name for name in ('pytest', 'handlerkit.testing') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.filterwarnings("ignore::Warning")  # of TorchServe's own handlers
def test_torchserves_own_classifier_fails_and_is_told_why(tmp_path: Path) -> None:
    """The stock handler, found by its own name though ours is on the path: each of its faults, and what to do."""
    images = [plain("RGB", (40, 30), color) for color in ((255, 0, 0), (0, 0, 9))]
    archive = pack(tmp_path / "archive", "image_classifier", traced(tmp_path, Six(), (3, 224, 224)) / "model.pt")
    with Worker.load(archive) as worker:
        assert type(worker.handler).__module__ == "ts.torch_handler.image_classifier"
        with pytest.raises(RowsFailedError) as failed:
            check_rows(worker, good=images, bad=[b"no image"])
    text = str(failed.value)
    raised = "UnidentifiedImageError: cannot identify image file <_io.BytesIO object>"
    for finding in (
        f"bad[0], predict: answered 503, since handle failed: {raised}; a bad row must get a 4xx, alone or not",
        f"all 8 rows were answered 503 'Prediction failed' because of row 3 (bad[0], predict), on which handle failed: {raised}",
        "row 0 asks to explain, which is no matter of the others",
        "no parts: answered 503, since handle failed: TypeError",
        "good[0], predict: answered without the header X-Model-Version; no caller knows which version it was",
        "=> refuse a row by context.set_response_status(422, phrase, idx)",
    ):
        assert finding in text, text


def test_our_classifier_passes(tmp_path: Path) -> None:
    """With the same network and the same rows, and with images that the stock handler does not take."""
    settings = config({"size": [8, 8], "explain": {"budget_seconds": 600}}, list("abcdef"))
    worker = Worker(image_classifier(), traced(tmp_path, Six(), (3, 8, 8)), settings)
    images = [plain("RGB", (40, 30), color) for color in ((255, 0, 0), (0, 0, 9))]
    check_rows(worker, good=[*images, plain("L"), {"data": images[0], "top_k": b"1"}], bad=[b"no image", b"", {"body": [1]}])


class Careless:
    """Answers with the length of a row; its mistake is chosen by name."""

    def __init__(self, mistake: str) -> None:
        self.mistake, self.count = mistake, 0

    def initialize(self, context: Any) -> None:
        """Nothing to load."""

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[Any]:
        self.count += 1
        if self.mistake == "ends" and len(data) > 1:
            raise SystemExit
        if self.mistake == "batches" and len(data) > 1:
            raise RuntimeError("stack")
        for index in range(len(data)):
            context.set_response_header(index, "x-model-version", "1")
        answers = [len(str(row.get("body"))) + (self.count if self.mistake == "random" else 0) for row in data]
        return answers[::-1] if self.mistake == "reverses" else answers


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("none", ""),
        ("ends", "the handler ended its worker on: good[0], predict; good[1], predict"),
        ("batches", "RuntimeError: stack; no row does that alone, the batch was: good[0], predict; good[1], predict"),
        ("random", "good[0], predict: two answers to one request; where they may differ, give same="),
        ("reverses", "; that is the answer to row 0"),
    ],
)
def test_each_mistake_has_its_message(tmp_path: Path, mistake: str, message: str) -> None:
    """Which rows it took, what came, and what would have come alone."""
    worker = Worker(Careless(mistake), tmp_path)
    if mistake == "none":
        check_rows(worker, good=[b"ab", b"abc"])
        return
    with pytest.raises(RowsFailedError) as failed:
        check_rows(worker, good=[b"ab", b"abc"], without=["explain"])
    assert message in str(failed.value)


def test_rows_that_should_be_refused_or_answered_are_named(tmp_path: Path) -> None:
    """A bad row that is answered, and a good one that is not."""
    worker = Worker(image_classifier(), traced(tmp_path, Six(), (3, 8, 8)), config({"size": [8, 8]}))
    with pytest.raises(RowsFailedError, match=r"bad\[0\], predict: answered 200 .*; a bad row must get a 4xx"):
        check_rows(worker, good=plain(), bad=[plain("L")], without=["explain"])
    with pytest.raises(RowsFailedError, match=r"good\[0\], predict: answered 422 .*; a good row must get 200"):
        check_rows(worker, good=b"no image", without=["explain"])


def test_descriptions_are_asked_alone(worker: Worker) -> None:
    """TorchServe puts a describe request into no batch; this handler has no description, and is told how to go without."""
    assert worker.ask({}, headers=[DESCRIBE])[0].status == 422
    with pytest.raises(RowsFailedError, match=r"describe .*: answered 422 .*; a handler without a description"):
        check_rows(worker, good=b"abc", without=["hostile"])


def test_hostile_rows_are_the_same_each_time() -> None:
    """A finding can be found again; and each row has a name that says what was done to the good one."""
    good = {"body": {"data": [1.5, {"deep": "text"}], "top_k": 3}, "file": b"0123456789"}
    first, second = (list(hostile_rows(good, 90, seed=5)) for _ in range(2))
    assert [name for name, _ in first] == [name for name, _ in second]
    assert len(first) == 90
    named = [name for name, _ in first]
    assert any(name.startswith("'file' truncated to") for name in named)
    assert any(name.startswith("'body' with another value at ['data']") for name in named)
    assert good == {"body": {"data": [1.5, {"deep": "text"}], "top_k": 3}, "file": b"0123456789"}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"a": [1.0, "x"]}, {"a": [1.00001, "x"]}, True),
        ({"a": 1.0}, {"a": 1.1}, False),
        ({"a": 1}, {"b": 1}, False),
        ([1, 2], [1, 2, 3], False),
        (["[0.5]"], ["[0.500001]"], True),
        ("[0.5]", "[0.6]", False),
        ("a", "b", False),
        (True, 1, False),
        (None, None, True),
        (b"\x00", b"\x00", True),
    ],
)
def test_answers_are_alike_but_for_the_last_digits(one: Any, other: Any, same: bool) -> None:
    """Numbers to 1e-4, also in JSON inside of text, as KServe's protocol v2 has it; everything else exactly."""
    assert alike(one, other) is same


def run_pytest(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(folder)]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(paths.HANDLERS)}
