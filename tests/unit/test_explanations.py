"""Explanations say what is known to be so, by every method, on runtimes with gradients and without."""

from __future__ import annotations

import base64
import io
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from handlerkit.explainer import IMAGE_METHODS
from pictures import encoded, plain
from PIL import Image
from workers import Answer, Worker, config, image_classifier, traced

OPTIONS = {"size": [16, 16], "mode": "L"}


SOURCE = """
import torch


class TopLeft(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 1, 1, bias=False)
        torch.nn.init.ones_(self.conv.weight)

    def forward(self, images):
        corner = torch.nn.functional.pad(images[:, :, :8, :8], (0, 8, 0, 8))
        score = self.conv(corner).mean((1, 2, 3)) * 40
        return torch.stack([torch.zeros_like(score), score], dim=1)
"""
MISSING = {
    "torchscript": {"grad_cam": "a layer of the network, which runtime eager alone can reach"},
    "onnx": dict.fromkeys(("integrated_gradients", "saliency", "grad_cam"), "gradients, which this model's runtime has not"),
}


class TopLeft(torch.nn.Module):
    """Looks at the top left quarter alone."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        score = images[:, :, :8, :8].mean((1, 2, 3)) * 10
        return torch.stack([torch.zeros_like(score), score], dim=1)


def eager(folder: Path, source: str = SOURCE) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "network.py").write_text(source)
    namespace: dict[str, Any] = {}
    exec(source, namespace)  # noqa: S102 - our own
    torch.save(namespace["TopLeft"]().state_dict(), folder / "model.pt")
    return folder


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


def eager_worker(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str = SOURCE, **explain: Any) -> Worker:
    monkeypatch.syspath_prepend(str(eager(folder, source)))
    monkeypatch.delitem(sys.modules, "network", raising=False)
    settings = config(OPTIONS | {"explain": explain}, ["other", "corner"], runtime="eager")
    return Worker(image_classifier(), folder, settings)


@pytest.fixture(params=["eager", "torchscript", "onnx"])
def worker(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Worker:
    """The same network with layers and gradients, with gradients alone, and without."""
    if request.param == "eager":
        return eager_worker(tmp_path, monkeypatch)
    make = traced if request.param == "torchscript" else onnx_exported
    settings = config(OPTIONS, ["other", "corner"], runtime=request.param)
    return Worker(image_classifier(), make(tmp_path, TopLeft(), (1, 16, 16)), settings)


def explained(worker: Worker, headers: dict[str, str] | None = None, **options: Any) -> Answer:
    image = plain("L", (16, 16), 255)
    return worker.ask({"data": image, **options}, headers=[{"explain": "True", **(headers or {})}])[0]


@pytest.mark.parametrize("method", IMAGE_METHODS)
@pytest.mark.filterwarnings("ignore::UserWarning")  # Captum's and torch.onnx's own
def test_every_method_finds_the_corner_that_the_network_looks_at(worker: Worker, method: str) -> None:
    """A network that looks at one corner is told so: what speaks for the class lies there, and nowhere else."""
    missing = MISSING.get(worker.handler._runtime_name, {})
    if method in missing:
        answer = explained(worker, method=method.encode())
        assert answer.status == 400
        can = ", ".join(one for one in IMAGE_METHODS if one not in missing)
        assert answer.body["message"] == f"'{method}' needs {missing[method]}; methods here: {can}."
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
    assert answer.body["message"] == f"No method is named 'magic'; methods: {', '.join(IMAGE_METHODS)}."


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
    [
        ({"method": "magic"}, "explain: method must be one of integrated_gradients"),
        ({"steps": 1}, "steps and cells must be at least 2"),
        ({"method": "grad_cam"}, "explain: method grad_cam needs a layer of the network, which runtime eager alone can reach"),
        ({"layer": "conv"}, "explain: layer needs runtime eager: in no other can a layer be reached"),
    ],
)
def test_wrong_options_are_refused_at_load(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    """An option that could only fail at the first explanation fails when the archive is loaded."""
    with pytest.raises(ValueError, match=message):
        Worker(image_classifier(), traced(tmp_path, TopLeft(), (1, 16, 16)), config(OPTIONS | {"explain": options}))


def test_a_layer_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Grad-CAM looks at the last convolution, or at the layer that the archive names; one that is not there is refused."""
    assert eager_worker(tmp_path / "1", monkeypatch, layer="conv", method="grad_cam").handler.initialized
    with pytest.raises(ValueError, match="explain: the network has no layer 'body'"):
        eager_worker(tmp_path / "2", monkeypatch, layer="body")


def test_grad_cam_without_a_convolution_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what is missing and what there is."""
    plain_source = SOURCE.replace("torch.nn.Conv2d(1, 1, 1, bias=False)", "torch.nn.Linear(16, 16, bias=False)")
    answer = explained(eager_worker(tmp_path, monkeypatch, plain_source), method=b"grad_cam")
    assert answer.status == 400
    assert answer.body["message"].startswith("'grad_cam' needs a layer of the kind Conv2d, which this network has not; methods")


def test_a_method_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """Whatever JSON holds there."""
    worker = Worker(image_classifier(), traced(tmp_path, TopLeft(), (1, 16, 16)), config(OPTIONS, ["other", "corner"]))
    body = {"data": base64.b64encode(plain("L", (16, 16), 255)).decode(), "method": ["saliency"]}
    answer = worker.ask({"body": body}, headers=[{"explain": "True"}])[0]
    assert (answer.status, answer.body["message"][:39]) == (400, "No method is named a JSON list; methods")


def test_a_hostile_image_cannot_be_explained(worker: Worker) -> None:
    """The refusal is the one that a prediction gets."""
    assert worker.ask({"data": b"no image"}, headers=[{"explain": "True"}])[0].status == 422
    assert worker.ask({"data": encoded(Image.new("L", (1, 1)))}, headers=[{"explain": "True"}])[0].status == 200
