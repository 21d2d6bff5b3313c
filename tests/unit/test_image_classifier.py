"""The image classifier, with a network whose answers are known beforehand."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import torch
from pictures import plain
from workers import Worker, config, image_classifier, traced

LABELS = ["dark", "light", "neither"]
OPTIONS = {"size": [4, 4], "mode": "L", "top_k": 2}
EXPLAIN = [{"explain": "True"}]


class Brightness(torch.nn.Module):
    """Linear: the scores are 0, the sum of all pixels, and -100."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(16, 3)
        self.linear.weight.data = torch.stack([torch.zeros(16), torch.arange(1, 17) / 8 - 1, torch.zeros(16)])
        self.linear.bias.data = torch.tensor([0.0, 0.0, -100.0])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.linear(images.flatten(1))  # type: ignore[no-any-return]


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(image_classifier(), traced(tmp_path, Brightness(), (1, 4, 4)), config(OPTIONS, LABELS))


def test_the_best_classes_come_first(worker: Worker) -> None:
    """An answer is a list of label and probability, best first, of top_k classes."""
    answer = worker.ask({"body": plain("L", (9, 9), 255)})[0].body
    assert [one["label"] for one in answer] == ["light", "dark"]
    assert answer[0]["probability"] == pytest.approx(torch.tensor([0.0, 1.0, -100.0]).softmax(0)[1].item(), abs=1e-4)


def test_top_k_may_exceed_the_classes(tmp_path: Path) -> None:
    """A model of three classes answers three, where the stock handler breaks."""
    worker = Worker(image_classifier(), traced(tmp_path, Brightness(), (1, 4, 4)), config(OPTIONS | {"top_k": 5}, LABELS))
    assert len(worker.ask({"body": plain()})[0].body) == 3


def test_a_request_chooses_how_many_classes_it_wants(tmp_path: Path) -> None:
    """top_k and threshold of the spec count unless a request has its own; the other rows of the batch keep theirs."""
    options = config(OPTIONS | {"threshold": 0.3}, LABELS)
    worker = Worker(image_classifier(), traced(tmp_path, Brightness(), (1, 4, 4)), options)
    light = plain("L", (9, 9), 255)
    asked = [{"body": light}, {"data": light, "threshold": b"0"}, {"data": light, "top_k": b"3", "threshold": b"0"}]
    assert [len(answer.body) for answer in worker.ask(*asked)] == [1, 2, 3]


def test_classes_with_ids_are_answered_with_both(tmp_path: Path) -> None:
    """As index_to_name.json has them in its longer form; two classes of one name are two answers."""
    labels: list[Any] = [["n01", "crane"], ["n02", "crane"], ["n03", "tench"]]
    worker = Worker(image_classifier(), traced(tmp_path, Brightness(), (1, 4, 4)), config(OPTIONS, labels))
    (answer,) = worker.ask({"body": plain("L", (9, 9), 255)})
    assert [(one["label"], one["class_id"], one["class_name"], one["index"]) for one in answer.body] == [
        ("crane", "n02", "crane", 1),
        ("crane", "n01", "crane", 0),
    ]


def test_classes_without_labels_are_numbered(tmp_path: Path) -> None:
    """Without labels the class's index is its label."""
    worker = Worker(image_classifier(), traced(tmp_path, Brightness(), (1, 4, 4)), config(OPTIONS))
    assert worker.ask({"body": plain("L", (9, 9), 255)})[0].body[0]["label"] == "1"


def test_a_linear_network_is_explained_by_weight_times_input(worker: Worker) -> None:
    """Integrated gradients of a linear score against zeros are weight times input, exactly."""
    answer = worker.ask({"body": plain("L", (4, 4), 255)}, headers=EXPLAIN)[0].body
    assert answer["label"] == "light"
    expected = (torch.arange(1, 17) / 8 - 1).reshape(4, 4)
    assert torch.allclose(torch.tensor(answer["attributions"]), expected, atol=1e-3)
    assert answer["completeness_gap"] == pytest.approx(0, abs=1e-4)
    assert (answer["method"], answer["steps"], answer["reduced"]) == ("integrated_gradients", 50, False)


@pytest.mark.parametrize("way", ["form", "json"])
def test_another_class_can_be_explained(worker: Worker, way: str) -> None:
    """The target is the best class unless the request names one."""
    image = plain("L", (4, 4), 255)
    form = {"data": image, "target": bytearray(b"neither")}
    json_row = {"body": {"data": base64.b64encode(image).decode(), "target": "neither"}}
    answer = worker.ask(form if way == "form" else json_row, headers=EXPLAIN)[0].body
    assert answer["label"] == "neither"
    assert not torch.tensor(answer["attributions"]).any()


def test_an_unknown_class_is_refused(worker: Worker) -> None:
    """A target that is no label is named, with some that are."""
    answer = worker.ask({"data": plain(), "target": b"cat"}, headers=EXPLAIN)[0]
    assert answer.status == 400
    assert answer.body["message"] == "No class is named 'cat'; the first classes are: dark, light, neither."


def test_a_large_image_has_a_small_explanation(tmp_path: Path) -> None:
    """A map has at most 32 x 32 cells, which keep the sum of the attributions."""

    class Sum(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.stack([images.sum((1, 2, 3)), -images.sum((1, 2, 3))], dim=1)

    worker = Worker(image_classifier(), traced(tmp_path, Sum(), (3, 100, 70)), config({"size": [100, 70]}))
    cells = torch.tensor(worker.ask({"body": plain("RGB", (70, 100), (255, 255, 255))}, headers=EXPLAIN)[0].body["attributions"])
    assert cells.shape == (32, 32)
    assert cells.sum().item() == pytest.approx(3 * 100 * 70, rel=0.01)


def test_a_bad_option_fails_at_load(tmp_path: Path) -> None:
    """The worker does not come up with an option that the handler does not have."""
    with pytest.raises(ValueError, match="unknown option 'topk': did you mean 'top_k'"):
        Worker(image_classifier(), traced(tmp_path, Brightness(), (1, 4, 4)), config({"topk": 3}))
