"""Explanations say what is known to be so, by every method, on runtimes with gradients and without."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from handlerkit.explain_options import METHODS, PERTURBATIONS
from pictures import encoded, plain
from PIL import Image
from workers import Answer, Worker, config, image_classifier, traced

OPTIONS = {"size": [16, 16], "mode": "L"}


class TopLeft(torch.nn.Module):
    """Looks at the top left quarter alone."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        score = images[:, :, :8, :8].mean((1, 2, 3)) * 10
        return torch.stack([torch.zeros_like(score), score], dim=1)


def onnx_exported(folder: Path, network: torch.nn.Module, shape: tuple[int, ...]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            (torch.zeros(2, *shape),),
            str(folder / "model.pt"),
            dynamo=False,
            input_names=["input"],
            dynamic_axes={"input": {0: "rows"}},
        )
    return folder


@pytest.fixture(params=["torchscript", "onnx"])
def worker(request: pytest.FixtureRequest, tmp_path: Path) -> Worker:
    """The same network with gradients and without."""
    make = traced if request.param == "torchscript" else onnx_exported
    settings = config(OPTIONS, ["other", "corner"], runtime=request.param)
    return Worker(image_classifier(), make(tmp_path, TopLeft(), (1, 16, 16)), settings)


def explained(worker: Worker, headers: dict[str, str] | None = None, **options: Any) -> Answer:
    image = plain("L", (16, 16), 255)
    return worker.ask({"data": image, **options}, headers=[{"explain": "True", **(headers or {})}])[0]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("ignore::UserWarning")  # Captum's and torch.onnx's own
def test_every_method_finds_the_corner_that_the_network_looks_at(worker: Worker, method: str) -> None:
    """A network that looks at one corner is told so: what speaks for the class lies there, and nowhere else."""
    if method not in PERTURBATIONS and not worker.handler.runtime.differentiable:
        answer = explained(worker, method=method.encode())
        assert answer.status == 400
        assert answer.body["message"].startswith(
            f"'{method}' needs gradients, which this model's runtime has not; methods: occlusion"
        )
        return
    body = explained(worker, method=method.encode()).body
    cells = np.asarray(body["attributions"])
    assert body["method"] == method
    assert cells[:8, :8].sum() > 0
    assert abs(cells[8:].sum()) + abs(cells[:8, 8:].sum()) < 0.05 * cells[:8, :8].sum()
    assert all(region["box"][2] <= 0.5 and region["box"][3] <= 0.5 for region in body["regions"])


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_method_is_chosen_by_the_runtime(worker: Worker) -> None:
    """The same request works on every archive: gradients where there are some, else perturbations."""
    body = explained(worker).body
    if worker.handler.runtime.differentiable:
        assert body["method"] == "integrated_gradients"
        assert body["completeness_gap"] < 1e-3
    else:
        assert body["method"] == "occlusion"
        assert body["fidelity"] > 0.1


def test_an_unknown_method_is_refused(worker: Worker) -> None:
    """The methods that exist are named."""
    answer = explained(worker, method=b"magic")
    assert answer.status == 400
    assert answer.body["message"] == f"No method is named 'magic'; methods: {', '.join(METHODS)}."


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_heat_map_is_a_picture_on_request(worker: Worker) -> None:
    """Accept: image/png gives the image with red over what speaks for the class."""
    answer = explained(worker, headers={"Accept": "image/png"})
    assert answer.headers["content-type"] == "image/png"
    picture = np.asarray(Image.open(io.BytesIO(answer.body)).convert("RGB"), dtype=int)
    assert picture.shape[:2] == (448, 448)
    redness = picture[..., 0] - picture[..., 2]
    assert redness[50:150, 50:150].mean() > 50
    assert abs(redness[300:, 300:]).mean() < 5


def test_steps_are_reduced_to_the_budget(tmp_path: Path) -> None:
    """A slow network gets fewer steps, and the reply says so."""

    class Slow(TopLeft):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            for _ in range(200):
                images = images + torch.nn.functional.conv2d(images, torch.zeros(1, 1, 3, 3), padding=1)
            return super().forward(images)

    options = OPTIONS | {"explain": {"budget_seconds": 0.02}}
    worker = Worker(image_classifier(), traced(tmp_path, Slow(), (1, 16, 16)), config(options, ["other", "corner"]))
    body = explained(worker).body
    assert body["reduced"] is True
    assert 2 <= body["steps"] < 50


def test_the_same_request_has_the_same_explanation(tmp_path: Path) -> None:
    """Sampling starts from a fixed seed."""
    worker = Worker(image_classifier(), traced(tmp_path, TopLeft(), (1, 16, 16)), config(OPTIONS, ["other", "corner"]))
    assert explained(worker, method=b"kernel_shap").body == explained(worker, method=b"kernel_shap").body


@pytest.mark.parametrize(
    ("options", "message"),
    [({"method": "magic"}, "method must be one of integrated_gradients"), ({"steps": 1}, "steps and cells must be at least 2")],
)
def test_wrong_options_are_refused_at_load(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    """An option that could only fail at the first explanation fails when the archive is loaded."""
    with pytest.raises(ValueError, match=message):
        Worker(image_classifier(), traced(tmp_path, TopLeft(), (1, 16, 16)), config(OPTIONS | {"explain": options}))


def test_a_hostile_image_cannot_be_explained(worker: Worker) -> None:
    """The refusal is the one that a prediction gets."""
    assert worker.ask({"data": b"no image"}, headers=[{"explain": "True"}])[0].status == 422
    assert worker.ask({"data": encoded(Image.new("L", (1, 1)))}, headers=[{"explain": "True"}])[0].status == 200
