"""How the table of docs/tasks.md measures and says a difference."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from differences import BEGIN, END, FIGURES, Figure, as_table, bound, difference, read_table, write_table
from task_table import BUILT, NETWORKS

CLASSES = [{"label": "a", "probability": 0.5, "index": 0}, {"label": "b", "probability": 0.25, "index": 1}]


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        (CLASSES, CLASSES, 0.0),
        (CLASSES, [CLASSES[0], CLASSES[1] | {"probability": 0.26}], 0.01),
        (CLASSES, CLASSES[::-1], 0.0),
        (CLASSES, CLASSES[:1], math.inf),
        (CLASSES, [CLASSES[0], CLASSES[1] | {"label": "c"}], math.inf),
        (CLASSES, [CLASSES[0], CLASSES[1] | {"truncated": True}], math.inf),
        ({"embedding": [0.5, 1.0], "tokens": 2}, {"embedding": [0.5, 1.5], "tokens": 2}, 0.5),
        ({"embedding": [0.5, 1.0], "tokens": 2}, {"embedding": [0.5, 1.0], "tokens": 3}, math.inf),
        ([{"index": 1, "box": [48.6, 1.0]}], [{"index": 1, "box": [48.7, 1.0]}], 0.1),
        ({"a": 1}, {"a": 1.0}, math.inf),
    ],
)
def test_answers_differ_by_their_numbers_and_in_nothing_else(one: Any, other: Any, found: float) -> None:
    """The largest difference of two numbers; of equally probable classes either may come first."""
    assert difference(one, other) == found


def test_masks_differ_by_the_share_of_their_pixels() -> None:
    """Whatever the runs are, and boxes around classes are the pixels'."""

    def answer(values: list[int], lengths: list[int], box: list[int]) -> dict[str, Any]:
        first = {"label": "a", "probability": 0.5, "index": 0, "share": 0.5, "box": box}
        return {"size": [4, 2], "classes": [first], "mask": {"encoding": "rle", "values": values, "lengths": lengths}}

    assert difference(answer([0, 1], [4, 4], [0, 0, 4, 1]), answer([0, 1], [5, 3], [0, 0, 4, 2])) == 1 / 8
    assert difference(answer([0, 1], [4, 4], [0, 0, 4, 1]), answer([0, 1], [4, 5], [0, 0, 4, 1])) == math.inf


@pytest.mark.parametrize(
    ("value", "printed"), [(0.0, "0"), (1.9e-6, "1e-5"), (1e-5, "1e-5"), (0.1, "1e-1"), (0.5, "1e0"), (7.0, "1e1")]
)
def test_a_figure_is_the_power_of_ten_that_is_not_exceeded(value: float, printed: str) -> None:
    """So that it stays what it is where rounding differs a little."""
    assert bound(value) == printed
    assert float(printed) >= value
    assert FIGURES.match(str(Figure(value, value)))


def test_the_table_that_is_written_is_read_back(tmp_path: Path) -> None:
    """Only what was measured changes, and the text around the table stays."""
    document = tmp_path / "tasks.md"
    document.write_text(f"before\n{BEGIN}| handler |\n| --- |\n{END}after\n")
    write_table(as_table({}, {(str(network), runtime): Figure(2e-7, 0.0) for network, runtime in BUILT}), document)
    first, second = NETWORKS[0], NETWORKS[1]
    assert read_table(document)[first.name]["onnx"] == "1e-6 / 0"
    assert read_table(document)[second.name]["onnx"] == "no"
    write_table(as_table(read_table(document), {(str(first), "onnx"): Figure(0.0, 1e-5)}), document)
    assert (read_table(document)[first.name]["onnx"], read_table(document)[first.name]["export"]) == ("0 / 1e-5", "1e-6 / 0")
    assert (document.read_text().splitlines()[0], document.read_text().splitlines()[-1]) == ("before", "after")
