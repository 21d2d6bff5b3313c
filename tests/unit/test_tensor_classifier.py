"""The classifier with its preprocessing inside, with networks whose answers are known beforehand."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from handlerkit import PayloadTooLarge, UnprocessableInput
from handlerkit.options import OptionError, read_options
from handlerkit.pixels import PixelOptions, read_pixels
from pictures import encoded, plain
from PIL import Image
from tensor_classifier import TensorClassifier
from torch import Tensor, nn
from workers import Worker, config

EXPLAIN = [{"explain": "True"}]
WHITE = torch.full((3, 6, 4), 255, dtype=torch.uint8)


class Light(nn.Module):
    """Two probabilities: how dark an image is, and how light; it knows their names."""

    def __init__(self) -> None:
        super().__init__()
        self.class_names = ["dark", "light"]

    def forward(self, images: Tensor) -> Tensor:
        light = images.to(torch.float64).mean((1, 2, 3)) / 255
        return torch.stack([1 - light, light], dim=1)


class Together(nn.Module):
    """Tenths: how many rows are run at once, how wide the images are, and the rest; images five pixels wide it refuses."""

    def forward(self, images: Tensor) -> Tensor:
        assert images.size(3) != 5, "five"
        rows, width = images.size(0) / 10, images.size(3) / 100
        return torch.tensor([[rows, width, 1 - rows - width]]).repeat(images.size(0), 1)


class Corner(nn.Module):
    """The probability of the second class is how light the top left quarter is."""

    def forward(self, images: Tensor) -> Tensor:
        quarter = images[:, :, : images.size(2) // 2, : images.size(3) // 2].float().mean((1, 2, 3)) / 255
        return torch.stack([1 - quarter, quarter], dim=1)


class Scores(nn.Module):
    """Scores 1 and 2."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.tensor([[1.0, 2.0]]).repeat(images.size(0), 1)


class Fixed(nn.Module):
    """Takes images of one size alone."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :2].view(-1, 2).float() * 0 + 0.5 * torch.ones(3, 8, 8).view_as(images[0]).mean()


class Floating(nn.Sequential):
    """Takes floating numbers alone."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Softmax(1))


def serve(folder: Path, network: nn.Module, labels: list[Any] | None = None, scripted: bool = True, **options: Any) -> Worker:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit's: deprecated since torch 2.11, works in 2.15
        network = network.eval()
        made = torch.jit.script(network) if scripted else torch.jit.trace(network, torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
        torch.jit.save(made, str(folder / "model.pt"))
    return Worker(TensorClassifier(), folder, config({"size": [8, 8]} | options, labels))


def test_the_network_is_given_the_image_and_nothing_else(tmp_path: Path) -> None:
    """Neither size nor values are touched, and the probabilities are answered as they come."""
    (answer,) = serve(tmp_path, Light()).ask({"body": plain("RGB", (7, 3), (51, 51, 51))})
    assert answer.body == [
        {"label": "dark", "probability": 0.8, "index": 0},
        {"label": "light", "probability": 0.2, "index": 1},
    ]


def test_images_of_one_size_are_run_together_and_others_by_themselves(tmp_path: Path) -> None:
    """Each row has its own answer, in the order in which they came; a bad row and one that fails cost nobody else."""
    worker = serve(tmp_path, Together(), ["rows", "width", "rest"], size=[20, 20])
    sizes = [(20, 9), (30, 9), (20, 9), (30, 4), (30, 9), (20, 9)]
    good = [{"body": plain(size=size)} for size in sizes]
    answers = worker.ask(*good[:2], {"body": b"no image"}, *good[2:])
    assert [answer.status for answer in answers] == [200, 200, 422, 200, 200, 200, 200]
    found = [{one["label"]: one["probability"] for one in answer.body} for answer in answers if answer.status == 200]
    assert [one["rows"] for one in found] == pytest.approx([0.3, 0.2, 0.3, 0.1, 0.2, 0.3])
    assert [one["width"] for one in found] == pytest.approx([0.2, 0.3, 0.2, 0.3, 0.3, 0.2])
    answers = worker.ask(good[0], {"body": plain(size=(5, 9))}, good[1], good[2])
    assert [answer.status for answer in answers] == [200, 500, 200, 200]


def test_predictions_and_explanations_share_a_batch(tmp_path: Path) -> None:
    """Each row of several sizes is answered as it asks."""
    rows = [{"body": plain("RGB", size, (255, 255, 255))} for size in ((8, 8), (9, 7), (7, 9), (8, 8))]
    answers = serve(tmp_path, Corner()).ask(*rows, headers=[{}, *EXPLAIN, {}, *EXPLAIN])
    assert [isinstance(answer.body, dict) for answer in answers] == [False, True, False, True]
    assert {(answer.body[0] if isinstance(answer.body, list) else answer.body)["label"] for answer in answers} == {"1"}


@pytest.mark.parametrize(
    ("mode", "color", "file_format"),
    [
        ("RGB", (255, 255, 255), "PNG"),
        ("L", 255, "PNG"),
        ("1", 1, "PNG"),
        ("RGBA", (9, 9, 9, 0), "PNG"),
        ("LA", (9, 0), "WEBP"),
        ("I;16", 65535, "PNG"),
        ("CMYK", 0, "JPEG"),
        ("RGB", (255, 255, 255), "BMP"),
    ],
)
def test_every_colour_mode_becomes_three_channels(mode: str, color: Any, file_format: str) -> None:
    """uint8, shape [3, height, width], transparency on white, sixteen bits as eight."""
    pixels = read_pixels(plain(mode, (4, 6), color, file_format), PixelOptions())
    assert pixels.dtype == torch.uint8
    assert torch.equal(pixels, WHITE)


def test_sixteen_bits_may_have_a_transparent_value() -> None:
    """It is white, and the others keep their shades; Pillow's own conversion makes everything white."""
    image = Image.fromarray(np.array([[0, 32768, 65535]], dtype=np.uint16))
    assert read_pixels(encoded(image), PixelOptions())[0].tolist() == [[0, 127, 255]]
    assert read_pixels(encoded(image, transparency=0), PixelOptions())[0].tolist() == [[255, 127, 255]]


def test_photos_stand_upright_and_animations_show_their_first_frame() -> None:
    """The EXIF orientation is obeyed, sizes included; all pixels of a JPEG are decoded."""
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held sideways
    sideways = encoded(Image.new("RGB", (2000, 900)), "JPEG", exif=exif)
    assert read_pixels(sideways, PixelOptions()).shape == (3, 2000, 900)
    frames = [Image.new("L", (4, 6), shade) for shade in (255, 0)]
    assert torch.equal(read_pixels(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]), PixelOptions()), WHITE)


def test_a_grey_network_is_given_one_channel(tmp_path: Path) -> None:
    """With mode L the image has the shape [1, height, width]."""
    assert read_pixels(plain("RGB", (4, 6), (255, 255, 255)), PixelOptions(mode="L")).tolist() == WHITE[:1].tolist()
    (answer,) = serve(tmp_path, Light(), mode="L").ask({"body": plain("RGB", (4, 6), (255, 255, 255))})
    assert answer.body[0]["label"] == "light"


def test_an_image_over_a_limit_is_refused() -> None:
    """More pixels than allowed, or a line of them, of which a network that resizes would make gigabytes."""
    with pytest.raises(PayloadTooLarge, match=r"^The image has 2000 x 1000 pixels; the limit is 1 megapixels\.$"):
        read_pixels(plain("1", (2000, 1000), 0), PixelOptions(max_megapixels=1))
    message = r"^The image has 1000000 x 1 pixels; one side may be at most 50 times the other\.$"
    with pytest.raises(UnprocessableInput, match=message):
        read_pixels(plain("L", (1_000_000, 1), 0), PixelOptions())


@pytest.mark.parametrize("labels", [[], ["dark", "light"], [["n1", "dark"], ["n2", "light"]]], ids=["none", "names", "ids"])
def test_names_come_from_the_spec_or_from_the_network(tmp_path: Path, labels: list[Any]) -> None:
    """The network's class_names are enough; labels that agree with them may add ids. The description has them."""
    worker = serve(tmp_path, Light(), labels)
    (answer,) = worker.ask({"body": plain("L")})
    assert [one["label"] for one in answer.body] == ["light", "dark"]
    assert answer.body[0].get("class_id") == ("n2" if labels and isinstance(labels[0], list) else None)
    assert worker.ask({"body": b""}, headers=[{"describe": "True"}])[0].body["labels"] == (labels or ["dark", "light"])


def test_scores_are_made_probabilities_where_asked(tmp_path: Path) -> None:
    """With softmax a network that has none inside is answered like any other."""
    (answer,) = serve(tmp_path, Scores(), softmax=True).ask({"body": plain()})
    assert answer.body[0] == {"label": "1", "probability": pytest.approx(0.731059, abs=1e-6), "index": 1}


@pytest.mark.parametrize(
    ("network", "options", "labels", "message"),
    [
        (Floating(), {}, [], r"the network does not take uint8 images of shape \[2, 3, 8, 8\]: .*"),
        (Fixed(), {}, [], r"the network does not take uint8 images of shape \[1, 3, 6, 8\]: .*"),
        (nn.Flatten(0), {}, [], r"the network must give one output, a score for each class: shape \[rows, classes\]"),
        (Scores(), {}, [], "softmax: the network's outputs are no probabilities; set softmax to true if they are scores"),
        (Light(), {}, ["a", "b"], r"labels: the archive's begin with \['a', 'b'\], the network's own .*\['dark', 'light'\]"),
        (Corner(), {}, ["a", "b", "c"], "labels: 3 names; the network's output has 2 classes"),
        (Corner(), {"sise": [8, 8]}, [], r"unknown option 'sise': did you mean 'size'\?"),
    ],
    ids=["floats alone", "one size", "no classes", "no probabilities", "other names", "too many names", "unknown option"],
)
def test_what_does_not_fit_the_network_fails_at_load(
    tmp_path: Path, network: nn.Module, options: dict[str, Any], labels: list[str], message: str
) -> None:
    """It is tried with several sizes as it is loaded, so that no caller is the first to notice."""
    with pytest.raises(ValueError, match=f"^{message}$"):
        serve(tmp_path, network, labels, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": [8]}, r"options: size must be \[height, width\] of at least 4 pixels each, not \[8\]"),
        ({"mode": "RGBA"}, "options: mode must be RGB or L, not 'RGBA'"),
        ({"softmax": 1}, "options: softmax must be true or false, not 1"),
        ({"max_ratio": 0.5}, "options: max_megapixels must be above 0, max_ratio at least 1"),
        ({"max_megapixels": 0}, "options: max_megapixels must be above 0, max_ratio at least 1"),
        ({"top_k": 0}, "options: top_k must be a whole number of at least 1, not 0"),
        ({"threshold": 2}, "options: threshold must be a number from 0 to 1, not 2"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], message: str) -> None:
    """What could only fail at the first request fails when the options are read."""
    with pytest.raises(OptionError, match=f"^{message}$"):
        read_options(PixelOptions, options)


@pytest.mark.parametrize("method", [None, "occlusion", "feature_ablation", "kernel_shap"])
def test_an_explanation_finds_the_corner_that_counts(tmp_path: Path, method: str | None) -> None:
    """A network that looks at the top left quarter is told so, by every method that needs no gradients."""
    asked = {"data": plain("RGB", (48, 32), (255, 255, 255))} | ({"method": method} if method else {})
    (answer,) = serve(tmp_path, Corner()).ask(asked, headers=EXPLAIN)
    assert answer.status == 200, answer.body
    cells = torch.tensor(answer.body["attributions"])
    assert answer.body["method"] == (method or "occlusion")
    assert cells.sum().item() == pytest.approx(1, abs=0.05)
    assert cells[:16, :16].sum().item() == pytest.approx(1, abs=0.05)


def test_gradients_are_not_promised(tmp_path: Path) -> None:
    """Whole pixels have none, whatever the runtime: the refusal lists what there is."""
    (answer,) = serve(tmp_path, Corner()).ask({"data": plain(), "method": b"saliency"}, headers=EXPLAIN)
    assert answer.status == 400
    assert answer.body["message"].endswith("methods: occlusion, feature_ablation, kernel_shap.")


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_an_explanation_can_be_looked_at(tmp_path: Path, mode: str) -> None:
    """With Accept: image/png it is a picture in the shape of the image."""
    headers = [{"explain": "True", "Accept": "image/png"}]
    (answer,) = serve(tmp_path, Corner(), mode=mode).ask({"body": plain(size=(40, 20))}, headers=headers)
    assert answer.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(answer.body)).size == (448, 224)
