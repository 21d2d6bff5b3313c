"""Whoever used TorchServe's own classifiers sends the same requests, and can have the same answers: both are run here."""

from __future__ import annotations

import base64
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from handlerkit import Row
from pictures import encoded, plain
from PIL import Image
from sklearn.datasets import load_sample_images
from text_classifier import TextClassifier
from torch import nn
from workers import Worker, config, image_classifier, traced

NAMES = ["tench", "goldfish", "crane", "cock", "hen", "ostrich"]
AS_STOCK: dict[str, Any] = {
    "size": [224, 224],
    "resize": 256,
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "form": "stock",
}
PHOTOS = [encoded(Image.fromarray(pixels)) for pixels in load_sample_images().images]
TALL = encoded(Image.fromarray(load_sample_images().images[0]).resize((301, 703)))


def network() -> nn.Module:
    """Six classes, told by colours in a grid of regions."""
    torch.manual_seed(0)
    return nn.Sequential(nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(192, 6)).eval()


def stock_handler(name: str, kind: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what TorchServe's own modules import
        module = __import__(f"ts.torch_handler.{name}", fromlist=[kind])
    return getattr(module, kind)()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Worker, Worker]:
    """One archive's network behind TorchServe's ImageClassifier and behind ours."""
    folder = traced(tmp_path_factory.mktemp("archive"), network(), (3, 224, 224))
    (folder / "index_to_name.json").write_text(json.dumps({str(index): ["n0", name] for index, name in enumerate(NAMES)}))
    pairs: list[Any] = [["n0", name] for name in NAMES]
    stock = Worker(stock_handler("image_classifier", "ImageClassifier"), folder, {})
    return stock, Worker(image_classifier(), folder, config(AS_STOCK, pairs))


@pytest.mark.parametrize(
    "row",
    [
        {"body": PHOTOS[0]},
        {"data": PHOTOS[1]},
        {"body": TALL},
        {"body": torch.linspace(-2, 2, 3 * 224 * 224).reshape(3, 224, 224)},
    ],
    ids=["body", "form", "tall", "numbers"],
)
def test_an_image_is_answered_as_by_the_stock_handler(both: tuple[Worker, Worker], row: dict[str, Any]) -> None:
    """The same request gives the same five classes with the same probabilities, in the same order."""
    row = {name: value.tolist() if isinstance(value, torch.Tensor) else value for name, value in row.items()}
    expected, found = (worker.ask(dict(row))[0].body for worker in both)
    assert len(found) == 5
    assert list(found) == list(expected)
    assert list(found.values()) == pytest.approx(list(expected.values()), abs=1e-5)


def test_instances_of_the_stock_envelopes_are_taken(both: tuple[Worker, Worker]) -> None:
    """Base64 as KServe's envelope, and as the JSON envelope has it, in a name or without; each instance is answered."""
    text = base64.b64encode(PHOTOS[0]).decode()
    instances = [text, {"data": text}, {"b64": text}, {"data": {"b64": text}}]
    expected = both[1].ask({"body": PHOTOS[0]})[0].body
    (answer,) = both[1].ask({"body": {"instances": instances}})
    assert answer.body["predictions"] == [pytest.approx(expected, abs=1e-6)] * 4


def test_a_request_chooses_the_form(both: tuple[Worker, Worker]) -> None:
    """Callers can be moved one by one, whatever the spec says; another form is refused alone."""
    rows = [{"data": PHOTOS[0], "form": form, "top_k": b"2"} for form in (b"stock", b"marina", b"old")]
    stock, ours, refused = both[1].ask(*rows)
    assert [(one["label"], one["probability"]) for one in ours.body] == [
        (label, pytest.approx(probability, abs=1e-6)) for label, probability in stock.body.items()
    ]
    assert (refused.status, refused.body["message"]) == (400, "'form' must be marina or stock; found 'old'.")


def test_numbers_of_another_shape_are_refused(both: tuple[Worker, Worker]) -> None:
    """In place of an image the network's own input may be sent, and nothing else."""
    (answer,) = both[1].ask({"body": [[1, 2], [3, 4]]})
    assert (answer.status, answer.body["message"]) == (422, "'data' must have shape [3, 224, 224]; found [2, 2].")


def test_of_two_classes_of_one_name_the_more_probable_is_answered(tmp_path: Path) -> None:
    """An object has one place for a name. The stock handler puts the less probable there."""
    folder = traced(tmp_path, nn.Sequential(nn.Flatten(), nn.Linear(3, 3, bias=False)), (3, 1, 1))
    network = torch.jit.load(str(folder / "model.pt"))
    dict(network.named_parameters())["1.weight"].data = torch.tensor([[1.0, 0, 0], [0.0, 0, 0], [2.0, 0, 0]])
    torch.jit.save(network, str(folder / "model.pt"))
    worker = Worker(image_classifier(), folder, config({"size": [1, 1], "form": "stock"}, ["crane", "hen", "crane"]))
    (answer,) = worker.ask({"body": plain("RGB", (4, 4), (255, 0, 0))})
    expected = torch.tensor([1.0, 0.0, 2.0]).softmax(0)
    assert answer.body == {"crane": pytest.approx(float(expected[2])), "hen": pytest.approx(float(expected[1]))}


class Cats(nn.Module):
    """Scores by how often the ids are even."""

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        even = (tokens % 2 == 0).sum(1).float()
        return torch.stack([even, 3 - even, even * 0], dim=1)


def test_a_text_is_answered_as_by_the_stock_handler(tmp_path: Path) -> None:
    """The stock TextClassifier's last stage makes the same answer of the same scores: all classes by name."""
    torch.jit.save(torch.jit.trace(Cats(), torch.zeros(2, 6, dtype=torch.int64)), str(tmp_path / "model.pt"))
    options = {"length": 6, "buckets": 50, "form": "stock"}
    worker = Worker(TextClassifier(), tmp_path, config(options, NAMES[:3]))
    stock = stock_handler("text_classifier", "TextClassifier")
    stock.mapping = {str(index): name for index, name in enumerate(NAMES[:3])}
    for row in ({"body": b"the cat sat"}, {"data": b"the cat sat"}, {"body": "one two three four five six seven"}):
        (answer,) = worker.ask(dict(row))
        tokens = worker.handler.preprocess_row(Row(row)).unsqueeze(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its softmax names no dimension
            (expected,) = stock.postprocess(Cats()(tokens))
        assert answer.body == pytest.approx(expected, abs=1e-6)
