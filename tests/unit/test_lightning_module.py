"""The handler of random passes, with networks whose mean and spread are known beforehand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from handlerkit.monte_carlo import MonteCarloOptions
from handlerkit.options import OptionError, read_options
from lightning_module import LightningModuleClassifier
from pictures import plain
from torch import Tensor, nn
from torch.nn import functional
from workers import Worker, config

LABELS = ["dark", "light"]
OPTIONS: dict[str, Any] = {"size": [4, 4], "mode": "L"}
EXPLAIN = {"explain": "True"}
LIGHT, GREY, DARK = (plain("L", (4, 4), value) for value in (255, 128, 0))


class Known(nn.Module):
    """The mean is the image's brightness for "light", its spread a tenth of the mean: nothing is random."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        light = images.mean((1, 2, 3))
        mean = torch.stack([1 - light, light], 1)
        return mean, mean / 10


class Dropped(nn.Module):
    """Eight passes over an image with dropout on it: a mask for all rows, or one for each."""

    def __init__(self, one_mask: bool) -> None:
        super().__init__()
        self.one_mask = one_mask
        self.scores = nn.Linear(16, 2)
        self.scores.weight.data = torch.stack([-torch.ones(16), torch.ones(16)]) / 8
        self.scores.bias.data = torch.tensor([1.0, -1.0])

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        passes = torch.stack([self.scores(self.drop(images.flatten(1))).softmax(1) for _ in range(8)])
        return passes.mean(0), passes.std(0)

    def drop(self, values: Tensor) -> Tensor:
        if self.one_mask:
            return values * functional.dropout(torch.ones_like(values[:1]), 0.5, training=True)
        return functional.dropout(values, 0.5, training=True)


class Scores(Known):
    """Gives scores, not probabilities."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        mean, spread = super().forward(images)
        return mean * 3, spread


class Still(Known):
    """Passes that are all the same."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        mean, spread = super().forward(images)
        return mean, spread * 0


class MeanAlone(Known):
    """As Lightning's documentation has it: no spread."""

    def forward(self, images: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(images)[0]


class Broken(Known):
    """NaN for a black image."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        mean, spread = super().forward(images)
        return mean, spread + 0 * torch.log(mean[:, 1:])


def serve(folder: Path, network: nn.Module, labels: list[str] | None = None, **options: Any) -> Worker:
    traced = torch.jit.trace(network.eval(), torch.rand(2, 1, 4, 4), check_trace=False)
    torch.jit.save(torch.jit.freeze(traced), str(folder / "model.pt"))
    return Worker(LightningModuleClassifier(), folder, config(OPTIONS | options, labels or LABELS))


def test_each_class_has_its_spread_and_the_answer_its_uncertainty(tmp_path: Path) -> None:
    """By the mean, best first; the uncertainty is the mean's entropy as a share of the largest there is."""
    (answer,) = serve(tmp_path, Known()).ask({"body": plain("L", (4, 4), 204)})
    entropy = -(0.8 * math.log(0.8) + 0.2 * math.log(0.2)) / math.log(2)
    best = {"label": "light", "probability": 0.8, "index": 1, "spread": 0.08, "uncertainty": pytest.approx(entropy, abs=1e-5)}
    assert answer.body == [best, {"label": "dark", "probability": 0.2, "index": 0, "spread": 0.02}]


def test_what_is_unsure_is_called_so(tmp_path: Path) -> None:
    """Above the option's limit; a sure answer is 0, one that knows nothing 1."""
    light, grey, dark = serve(tmp_path, Known(), unsure_above=0.9).ask({"body": LIGHT}, {"body": GREY}, {"body": DARK})
    assert [one.body[0]["unsure"] for one in (light, grey, dark)] == [False, True, False]
    assert [round(one.body[0]["uncertainty"], 3) for one in (light, grey, dark)] == [0, 1, 0]


@pytest.mark.parametrize("one_mask", [True, False], ids=["one mask for all rows", "one mask a row"])
def test_an_answer_is_the_same_alone_and_in_any_place_of_a_batch(tmp_path: Path, one_mask: bool) -> None:
    """Masks come from the seed; rows are run together where that changes nothing."""
    worker = serve(tmp_path, Dropped(one_mask))
    assert worker.handler._network.together is one_mask
    (alone,) = worker.ask({"body": LIGHT})
    *_, last = worker.ask({"body": DARK}, {"body": b"no image"}, {"body": GREY}, {"body": LIGHT})
    assert alone.body[0]["spread"] > 0.01
    assert last.body == alone.body


def test_another_seed_draws_other_masks_and_none_draws_others_each_time(tmp_path: Path) -> None:
    """Whoever wants randomness asks for it."""
    found = [serve(tmp_path, Dropped(True), seed=seed).ask({"body": LIGHT})[0].body[0]["spread"] for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]
    free = serve(tmp_path, Dropped(False), seed=None)
    first, second = (free.ask({"body": LIGHT})[0].body[0]["spread"] for _ in range(2))
    assert first != second


def test_nobody_else_notices_the_seed(tmp_path: Path) -> None:
    """What a worker draws for other ends goes on where it was."""
    worker = serve(tmp_path, Dropped(True))
    before = torch.get_rng_state()
    worker.ask({"body": LIGHT})
    assert torch.equal(before, torch.get_rng_state())


def test_a_bad_row_is_refused_alone(tmp_path: Path) -> None:
    """No image, a wrong option, and an output that is no number: the rows beside them are answered."""
    rows = [
        {"body": LIGHT},
        {"body": b"no image"},
        {"data": LIGHT, "top_k": b"no"},
        {"body": DARK},
        {"data": LIGHT, "top_k": b"1"},
    ]
    good, picture, option, broken, one = serve(tmp_path, Broken()).ask(*rows)
    assert [answer.status for answer in (good, picture, option, broken, one)] == [200, 422, 400, 500, 200]
    assert picture.body["message"] == "Not an image that can be read; formats: PNG, JPEG, WEBP, BMP, GIF."
    assert option.body["message"] == "'top_k' must be a number from 1 to 1000; found 'no'."
    assert len(one.body) == 1


@pytest.mark.parametrize("one_mask", [True, False], ids=["one mask for all rows", "one mask a row"])
@pytest.mark.parametrize("method", ["integrated_gradients", "kernel_shap"])
def test_the_mean_is_explained_the_same_way_twice(tmp_path: Path, one_mask: bool, method: str) -> None:
    """Gradients go through the masks, and samples are drawn beside them: a light image has light in every place."""
    worker = serve(tmp_path, Dropped(one_mask), explain={"cells": 2})
    row = {"data": LIGHT, "method": method.encode(), "target": b"light"}
    first, second = (worker.ask(row, headers=[EXPLAIN])[0] for _ in range(2))
    assert first.body == second.body
    assert (first.body["label"], first.body["method"]) == ("light", method)
    assert torch.tensor(first.body["attributions"]).sum() > 0.5
    assert first.body.get("completeness_gap", 0) < 0.05


def test_an_explanation_can_be_a_picture(tmp_path: Path) -> None:
    """With Accept: image/png."""
    (answer,) = serve(tmp_path, Dropped(True)).ask({"body": LIGHT}, headers=[EXPLAIN | {"accept": "image/png"}])
    assert bytes(answer.body).startswith(b"\x89PNG")
    assert answer.headers["content-type"] == "image/png"


WANTED = (
    r"the network must give \(mean, spread\), each of shape \[rows, classes\]: of the classes' probabilities over the passes; "
)


@pytest.mark.parametrize(
    ("network", "labels", "message"),
    [
        (MeanAlone(), LABELS, WANTED + r"it gives one tensor of shape \[2, 2\]"),
        (nn.Identity(), LABELS, WANTED + r"it gives one tensor of shape \[2, 1, 4, 4\]"),
        (
            Scores(),
            LABELS,
            "the network's mean must be of probabilities, after softmax, with a sum of 1; the first row's sum is 3",
        ),
        (Still(), LABELS, r"the network's passes are all the same: is dropout on, as by dropout\(x, p, training=True\)\?"),
        (Known(), ["a"], "labels: 1 names; the network's output has 2 classes"),
    ],
    ids=["mean alone", "no classes", "scores", "no dropout", "labels"],
)
def test_a_network_that_does_not_fit_fails_at_load(tmp_path: Path, network: nn.Module, labels: list[str], message: str) -> None:
    """It is run once as it is loaded, so that no caller is the first to notice."""
    with pytest.raises(ValueError, match=f"^{message}$"):
        serve(tmp_path, network, labels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": "x"}, "options: seed must be a whole number, or null for other masks each time; not 'x'"),
        ({"unsure_above": 2}, "options: unsure_above must be a number from 0 to 1, not 2"),
        ({"mode": "X"}, "options: mode must be RGB or L, not 'X'"),
        ({"unsure_abve": 0.5}, "unknown option 'unsure_abve': did you mean 'unsure_above'?"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], message: str) -> None:
    """What could only fail at the first request fails when the options are read."""
    with pytest.raises(OptionError) as refused:
        read_options(MonteCarloOptions, options)
    assert str(refused.value) == message
