"""What a worker notes of answers that the gateway copies: where it is asked, not in the caller's way, not without end."""

from __future__ import annotations

import json
import os
import time
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from handlerkit import summary
from handlerkit.batch import Row
from handlerkit.summary import FOLDER, HEADER, Summaries, forget_old, said
from servers import eventually

ANSWER = [{"label": "7", "probability": 0.9, "index": 7}, {"label": "3", "probability": 0.1, "index": 3}]


def row(request_id: str, answer: Any = ANSWER, *, asked: bool = True, status: HTTPStatus = HTTPStatus.OK) -> Row:
    """An answered row."""
    made = Row({}, request_id, {"X-Request-Id": request_id} | ({HEADER: "1"} if asked else {}))
    made.answer, made.status = answer, status
    return made


def notes(folder: Path) -> list[dict[str, Any]]:
    """All notes in a folder."""
    return [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]


def is_noted(folder: Path, name: str) -> bool:
    """Whether there is a note of a request."""
    return any(note["request_id"] == name for note in notes(folder))


def test_what_is_asked_for_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the request's id, in a file for its owner alone; what was not asked for, or refused, is not."""
    monkeypatch.setenv(FOLDER, str(tmp_path / "summaries"))
    rows = [row("a"), row("b", asked=False), row("c", status=HTTPStatus.UNPROCESSABLE_ENTITY), row("a", [{"label": "1"}])]
    Summaries("digits", "2.0").note(rows, 0.0123456789)
    assert eventually(lambda: notes(tmp_path / "summaries") != [])
    of_a = {"request_id": "a", "model": "digits", "version": "2.0", "kind": "predict", "label": "7"}
    assert notes(tmp_path / "summaries") == [of_a | {"probabilities": {"7": 0.9, "3": 0.1}, "seconds": 0.012346}]
    (file,) = (tmp_path / "summaries").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.name == f"digits-2.0-{os.getpid()}.jsonl"


def test_without_a_folder_nothing_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A header alone writes no file: where, the operator says."""
    monkeypatch.delenv(FOLDER, raising=False)
    monkeypatch.chdir(tmp_path)
    Summaries("digits", "2.0").note([row("a")], 0.1)
    assert list(tmp_path.iterdir()) == []


def test_a_file_grows_no_further_than_it_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full file is put aside, and the one before it goes."""
    monkeypatch.setenv(FOLDER, str(tmp_path))
    monkeypatch.setattr(summary, "LARGEST_BYTES", 300)
    own = Summaries("digits", "2.0")
    for number in range(20):
        name = f"r{number}"
        own.note([row(name)], 0.1)
        assert eventually(partial(is_noted, tmp_path, name))
    assert len(list(tmp_path.iterdir())) == 2
    assert len(notes(tmp_path)) <= 8


def test_a_folder_that_cannot_be_written_costs_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said in the log, and tried again."""
    (tmp_path / "file").touch()
    monkeypatch.setenv(FOLDER, str(tmp_path / "file"))
    own = Summaries("digits", "2.0")
    own.note([row("a")], 0.1)
    (tmp_path / "file").unlink()

    def noted() -> bool:
        own.note([row("b")], 0.1)
        return (tmp_path / "file").is_dir()

    assert eventually(noted)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"label": "cat", "probability": 0.5}, {"label": "cat", "probabilities": {"cat": 0.5}}),
        ([{"label": "cat", "box": [1, 2]}], {"label": "cat"}),
        ([], {}),
        ({"y": [1.0]}, {}),
        (b"picture", {}),
        ("text", {}),
    ],
)
def test_answers_of_any_form_are_summed_up(answer: Any, expected: dict[str, Any]) -> None:
    """Labels and probabilities where it has them; else that there was an answer."""
    assert said(answer) == expected


def test_what_workers_left_goes_after_a_day(tmp_path: Path) -> None:
    """Of workers that are no more; what is younger stays to be read."""
    for name, age in (("old", 2 * 24 * 3600), ("new", 60)):
        (tmp_path / f"{name}.jsonl").touch()
        os.utime(tmp_path / f"{name}.jsonl", (time.time() - age,) * 2)
    forget_old(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["new.jsonl"]
