"""Classes are named as TorchServe's index_to_name.json names them, in either form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from handlerkit import BadRequest
from handlerkit.labels import Labels
from models import write_model

from marina.errors import UsageError
from marina.store.labels import read_labels
from marina.store.spec import find_spec

PAIRS = [["n01", "crane"], ["n02", "tench"], ["n03", "crane"]]


def test_a_class_with_an_id_is_answered_with_both() -> None:
    """class_id and class_name beside the label, as the stock handler's users know them."""
    assert Labels(PAIRS).answer(1, 0.5) == {
        "label": "tench",
        "probability": 0.5,
        "index": 1,
        "class_id": "n02",
        "class_name": "tench",
    }


def test_duplicate_names_are_kept_apart() -> None:
    """Two classes named alike are two answers, told by their index."""
    assert Labels(["crane", "crane"]).answer(0, 0.5)["index"] != Labels(["crane", "crane"]).answer(1, 0.5)["index"]


@pytest.mark.parametrize(("wanted", "index"), [("tench", 1), ("n03", 2), ("0", 0), (2, 2)])
def test_a_class_is_found_by_label_id_or_index(wanted: Any, index: int) -> None:
    """Whatever the request names it by."""
    assert Labels(PAIRS).index(wanted, 3) == index


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("crane", r"Several classes are named 'crane'; give one by its index: \[0, 2\]"),
        ("cat", "No class is named 'cat'"),
        ("3", "'3'"),
    ],
)
def test_a_class_that_is_none_or_several_is_refused(wanted: str, message: str) -> None:
    """Which of two classes of one name is meant is not guessed."""
    with pytest.raises(BadRequest, match=message):
        Labels(PAIRS).index(wanted, 3)


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        (["a", "b"], ["a", "b"]),
        ({"0": "a", "1": "b"}, ["a", "b"]),
        ({"1": ["n2", "b"], "0": ["n1", "a"]}, [["n1", "a"], ["n2", "b"]]),
    ],
)
def test_every_form_of_a_labels_file_is_read(content: Any, labels: Any, tmp_path: Path) -> None:
    """A list, or index_to_name.json in either of its forms."""
    model = write_model(tmp_path, {"labels.json": json.dumps(content)}, labels="labels.json")
    assert read_labels(find_spec(str(model))) == labels


@pytest.mark.parametrize("content", [{"1": "a"}, {"0": ["a"]}, {"0": "a", "1": ["n", "b"]}, "a", [1, 2]])
def test_a_labels_file_of_another_form_is_refused(content: Any, tmp_path: Path) -> None:
    """The file, and the forms that there are."""
    model = write_model(tmp_path, {"labels.json": json.dumps(content)}, labels="labels.json")
    with pytest.raises(UsageError, match=r"labels\.json: (required|every class must have)"):
        read_labels(find_spec(str(model)))
