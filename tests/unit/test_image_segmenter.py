"""The image segmenter, with a network whose masks are known beforehand."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from handlerkit import masks
from handlerkit.explainer import GRADIENTS, PERTURBATIONS
from handlerkit.labels import Labels
from handlerkit.mask_encodings import encoded, index_png, overlay, palette
from handlerkit.masks import UNLABELLED, Mask, MaskOptions, find_mask
from handlerkit.options import OptionError, read_options
from image_segmenter import ImageSegmenter
from pictures import encoded as file_of
from pictures import plain
from PIL import Image
from workers import Worker, config, traced

EXPLAIN = {"explain": "True"}
PNG = {"Accept": "image/png"}
LABELS = ["black", "grey", "white"]
OPTIONS: dict[str, Any] = {"size": [24, 40], "mode": "L", "interpolation": "box"}
NOISE = np.random.default_rng(1).integers(0, 3, (40, 50)).astype(np.uint8)


class Shades(torch.nn.Module):
    """Scores of a pixel: how near it is to black, to grey and to white; halfway to another shade the third stays behind."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        distances = torch.cat([(images - shade).abs() for shade in (0.0, 0.5, 1.0)], dim=1)
        return -40 * distances / (distances + 0.1)


class Halved(Shades):
    """The same, at half the size."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(super().forward(images), 2)


def serve(folder: Path, network: torch.nn.Module | None = None, labels: list[str] | None = None, **options: Any) -> Worker:
    given = OPTIONS | options
    shape = (3 if given["mode"] == "RGB" else 1, *given["size"])
    return Worker(ImageSegmenter(), traced(folder, network or Shades(), shape), config(given, labels or LABELS))


@pytest.fixture
def shades(tmp_path: Path) -> Worker:
    """Tells black, grey and white pixels."""
    return serve(tmp_path)


def scene(size: tuple[int, int] = (40, 24), mode: str = "L") -> Image.Image:
    """Black, with white at the left half of its top and grey at the right half of its last quarter."""
    width, height = size
    image = Image.new("L", size, 0)
    image.paste(255, (0, 0, width // 2, height // 2))
    image.paste(128, (width // 2, height * 3 // 4, width, height))
    return image.convert(mode)


def mask_of(body: dict[str, Any]) -> np.ndarray[Any, Any]:
    """The mask of an answer, decoded as the documents say."""
    mask, (width, height) = body["mask"], body["size"]
    if mask["encoding"] == "rle":
        return np.repeat(mask["values"], mask["lengths"]).reshape(height, width)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(mask["data"]))))


def shades_of(image: Image.Image) -> np.ndarray[Any, Any]:
    """What the mask of a scene must be."""
    return (np.asarray(image.convert("L"), dtype=int) + 64) // 128


def test_an_answer_says_what_is_where(shades: Worker) -> None:
    """Size, classes with share, box and probability, and the mask: all of the image as it was sent."""
    (answer,) = shades.ask({"body": file_of(scene())})
    assert answer.status == 200
    white, grey, black = answer.body["classes"]
    assert answer.body["size"] == [40, 24]
    assert white == {"label": "white", "probability": white["probability"], "index": 2, "share": 0.25, "box": [0, 0, 20, 12]}
    assert (grey["label"], grey["share"], grey["box"]) == ("grey", 0.125, [20, 18, 40, 24])
    assert (black["label"], black["share"], black["box"]) == ("black", 0.625, [0, 0, 40, 24])
    assert all(0.9 < one["probability"] <= 1 for one in answer.body["classes"])
    assert answer.body["unlabelled"] == 0
    assert np.array_equal(mask_of(answer.body), shades_of(scene()))


def test_the_background_is_listed_last_and_any_class_may_be_it(tmp_path: Path) -> None:
    """A caller looks for objects; of those the largest comes first."""
    worker = serve(tmp_path, background=None)
    (answer,) = worker.ask({"body": file_of(scene((40, 40)))})
    assert [one["label"] for one in answer.body["classes"]] == ["black", "white", "grey"]


@pytest.mark.parametrize("keep_aspect", [False, True], ids=["stretched", "with a margin"])
@pytest.mark.parametrize("network", [Shades(), Halved()], ids=["full size", "half size"])
@pytest.mark.parametrize("size", [(40, 24), (24, 40), (64, 16), (8, 8)])
def test_the_mask_lies_where_the_image_does(
    size: tuple[int, int], network: torch.nn.Module, keep_aspect: bool, tmp_path: Path
) -> None:
    """Wide or high, stretched or with a margin, whatever size the network answers in: nothing is cut off or shifted."""
    worker = serve(tmp_path, network, keep_aspect=keep_aspect, size=[64, 64])
    image = scene(size)
    (answer,) = worker.ask({"body": file_of(image)})
    found, expected = mask_of(answer.body), shades_of(image)
    inner = np.ones_like(found, dtype=bool)
    near = [max(1, side // 8) for side in size]
    for line in (size[1] // 2, size[1] * 3 // 4):  # where two shades meet, scores lie between theirs
        inner[line - near[1] : line + near[1]] = False
    inner[:, size[0] // 2 - near[0] : size[0] // 2 + near[0]] = False
    assert np.array_equal(found[inner], expected[inner])
    assert inner.mean() > 0.3


def test_a_mask_is_turned_as_its_camera_was_held(shades: Worker) -> None:
    """A photo taken sideways has a mask that stands upright, with width and height of what a person sees."""
    image = scene((40, 24))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = image.transpose(Image.Transpose.ROTATE_90)
    (answer,) = shades.ask({"body": file_of(turned, "PNG", exif=exif)})
    assert turned.size == (24, 40)
    assert answer.body["size"] == [40, 24]
    assert np.array_equal(mask_of(answer.body), shades_of(image))


def test_a_large_jpeg_has_a_mask_of_its_own_size(shades: Worker) -> None:
    """What is decoded small for the network is answered large."""
    (answer,) = shades.ask({"body": file_of(scene((1600, 1000)), "JPEG", exif=_upside_down())})
    assert answer.body["size"] == [1600, 1000]
    assert mask_of(answer.body)[::200, ::200].tolist() == shades_of(scene((1600, 1000)))[::-1, ::-1][::200, ::200].tolist()


def _upside_down() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 3
    return exif


def test_eight_images_of_any_kind_share_a_batch(shades: Worker) -> None:
    """Each has a mask of its own size; the one that is none is refused alone."""
    images = [scene(), scene((7, 90)), Image.new("L", (1, 1), 255), scene(mode="RGB"), scene(mode="RGBA"), scene(mode="CMYK")]
    files = [file_of(image, "JPEG" if image.mode == "CMYK" else "PNG") for image in images]
    clear = file_of(Image.new("RGBA", (9, 5), (0, 0, 0, 0)))
    answers = shades.ask(*({"body": file} for file in [*files[:3], b"no image", *files[3:], clear]))
    assert [answer.status for answer in answers] == [200, 200, 200, 422, 200, 200, 200, 200]
    assert [answer.body["size"] for answer in answers if answer.status == 200] == [*(list(one.size) for one in images), [9, 5]]
    assert mask_of(answers[2].body).tolist() == [[2]]
    assert np.array_equal(mask_of(answers[5].body), shades_of(scene()))
    assert mask_of(answers[7].body).tolist() == [[2] * 9] * 5  # what is transparent is white


def test_a_row_whose_scores_are_no_numbers_is_refused_alone(tmp_path: Path) -> None:
    """One NaN among a mask's thousands is our fault, and nobody else's loss."""

    class Fails(Shades):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            white = images.amin((1, 2, 3), keepdim=True) >= 1
            return torch.where(white & (torch.arange(40) == 3), torch.nan, super().forward(images))

    worker = serve(tmp_path, Fails())
    answers = worker.ask({"body": file_of(scene())}, {"body": plain("L", (9, 9), 255)}, {"body": file_of(scene())})
    assert [answer.status for answer in answers] == [200, 500, 200]
    assert answers[0].body == answers[2].body


@pytest.mark.parametrize("encoding", ["rle", "png"])
def test_every_encoding_gives_the_same_mask(shades: Worker, encoding: str) -> None:
    """A request chooses: run-length, PNG in base64, or no mask at all."""
    one, none = shades.ask({"data": file_of(scene()), "mask": encoding.encode()}, {"data": file_of(scene()), "mask": b"none"})
    assert one.body["mask"]["encoding"] == encoding
    assert np.array_equal(mask_of(one.body), shades_of(scene()))
    assert none.body["mask"] is None
    assert none.body["classes"] == one.body["classes"]


@pytest.mark.parametrize("pixels", [NOISE, np.zeros((1, 1), np.uint8), np.full((3, 7), 255, np.uint8)])
def test_encodings_are_decoded_to_what_was_encoded(pixels: np.ndarray[Any, Any]) -> None:
    """Whatever the mask is, and the answer's length is what was counted."""
    for encoding in ("rle", "png"):
        made = encoded(pixels, encoding, 6)
        assert np.array_equal(mask_of({"mask": made, "size": pixels.shape[::-1]}), pixels)
    made = encoded(pixels, "rle", 6) or {}
    length = len(json.dumps(made["values"])) + len(json.dumps(made["lengths"])) - 4 + 4  # ", " stands for the brackets
    assert encoded(pixels, "rle", length / 1e6) == made
    if length > 100:
        assert (encoded(pixels, "rle", (length - 1) / 1e6) or {})["encoding"] == "png"


def test_a_long_run_length_mask_comes_as_png_and_says_so(tmp_path: Path) -> None:
    """Noise has nearly as many runs as pixels; the same mask still comes, in less room."""
    file = file_of(Image.fromarray(NOISE * 127))
    (whole,) = serve(tmp_path / "whole", size=[40, 50]).ask({"body": file})
    (short,) = serve(tmp_path / "short", size=[40, 50], max_reply_megabytes=0.004).ask({"body": file})
    assert (whole.body["mask"]["encoding"], short.body["mask"]["encoding"]) == ("rle", "png")
    assert short.body["mask"]["instead_of"] == "rle"
    assert np.array_equal(mask_of(short.body), mask_of(whole.body))
    assert np.array_equal(mask_of(whole.body), NOISE)


@pytest.mark.parametrize("row", [{"mask": b"rle"}, {"mask": b"png"}, {}], ids=["rle", "png", "picture"])
def test_a_mask_that_is_too_long_by_any_way_is_refused(tmp_path: Path, row: dict[str, bytes]) -> None:
    """The answer's limit is a refusal with the limit and the way out, and neighbours are answered."""
    worker = serve(tmp_path, size=[40, 50], max_reply_megabytes=0.0009)
    file = file_of(Image.fromarray(NOISE * 127))
    headers = [{} if row else PNG, {}]
    refused, answered = worker.ask({"data": file, **row}, {"data": file, "mask": b"none"}, headers=headers)
    assert (refused.status, answered.status) == (413, 200)
    limit = "0.0009" if not row else "0.000675"
    assert (
        refused.body["message"]
        == f"The mask has 0.0 MB as PNG; the limit is {limit} MB. Send a smaller image, or ask for mask=none."
    )


def test_a_caller_who_accepts_png_gets_the_mask_as_one(shades: Worker) -> None:
    """The values are the mask's, the palette's colours are for the eye."""
    (answer,) = shades.ask({"body": file_of(scene())}, headers=[PNG])
    assert answer.headers["content-type"] == "image/png"
    image = Image.open(io.BytesIO(answer.body))
    assert image.mode == "P"
    assert np.array_equal(np.asarray(image), shades_of(scene()))
    assert [image.convert("RGB").getpixel(place) for place in ((30, 2), (30, 20), (2, 2))] == [
        (0, 0, 0),
        (128, 0, 0),
        (0, 128, 0),
    ]


def test_the_palette_is_the_one_that_masks_usually_have() -> None:
    """PASCAL VOC's: its first colours and its last, that of what has no class."""
    assert palette()[[0, 1, 2, 3, 15, 255]].tolist() == [
        [0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [192, 128, 128], [224, 224, 192],
    ]  # fmt: skip


def test_a_mask_can_be_laid_over_its_image(shades: Worker) -> None:
    """Objects are coloured, the background is as it was; pictures are 640 pixels at their longer side."""
    (answer,) = shades.ask({"data": file_of(scene((80, 48))), "picture": b"overlay"}, headers=[PNG])
    picture = np.asarray(Image.open(io.BytesIO(answer.body)), dtype=int)
    assert picture.shape == (384, 640, 3)
    assert picture[150, 150].tolist() == [115, 185, 115]
    assert picture[350, 500].tolist() == [128, 58, 58]
    assert picture[300, 100].tolist() == [0, 0, 0]


def test_an_image_of_one_line_can_be_looked_at() -> None:
    """Pictures have at least one pixel each way."""
    drawn = overlay(Image.new("L", (900, 1)), np.ones((1, 900), np.uint8), None, [])
    assert Image.open(io.BytesIO(drawn)).size == (640, 1)


def test_pixels_that_are_not_probable_enough_have_no_class(tmp_path: Path) -> None:
    """They are 255 in the mask, of no class in the list, and their share is told."""
    worker = serve(tmp_path, size=[1, 4], interpolation="bilinear")
    image = Image.fromarray(np.array([[0, 64, 128, 255]], np.uint8))
    every, sure = worker.ask({"body": file_of(image)}, {"data": file_of(image), "threshold": b"0.6"})
    assert mask_of(every.body).tolist() == [[0, 1, 1, 2]]
    assert mask_of(sure.body).tolist() == [[0, UNLABELLED, 1, 2]]
    assert sure.body["unlabelled"] == 0.25
    assert sum(one["share"] for one in sure.body["classes"]) == 0.75
    unsure = worker.ask({"data": plain("L", (3, 2), 64), "threshold": b"0.6"})[0].body
    assert (unsure["classes"], unsure["unlabelled"]) == ([], 1)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"mask": b"jpeg"}, "'mask' must be rle or png or none; found 'jpeg'."),
        ({"picture": b"overlay"}, "'picture' goes with the header Accept: image/png."),
        ({"threshold": b"2"}, "'threshold' must be a number from 0 to 1; found '2'."),
        ({"top_k": b"0"}, "'top_k' must be a number from 1 to 1000; found '0'."),
    ],
)
def test_what_a_request_cannot_ask_is_refused_alone(shades: Worker, row: dict[str, bytes], message: str) -> None:
    """With what it could have asked; the row beside it is answered."""
    refused, answered = shades.ask({"data": file_of(scene()), **row}, {"data": file_of(scene()), "top_k": b"1"})
    assert (refused.status, refused.body["message"]) == (400, message)
    assert [one["label"] for one in answered.body["classes"]] == ["white"]


def test_kserve_requests_carry_several_images(shades: Worker) -> None:
    """Each instance is a row with options of its own."""
    data = base64.b64encode(file_of(scene())).decode()
    (answer,) = shades.ask({"body": {"instances": [{"data": data, "mask": "none"}, {"data": data}]}})
    one, two = answer.body["predictions"]
    assert (one["mask"], two["mask"]["encoding"]) == (None, "rle")


def test_scores_are_brought_to_an_images_size_as_torch_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bands of lines give what one interpolation of the whole gives, for large images and odd sizes."""
    monkeypatch.setattr(masks, "AT_ONCE", 50_000)
    scores = torch.randn(5, 13, 9, generator=torch.Generator().manual_seed(1))
    for width, height in ((700, 500), (500, 700), (3, 2), (1, 1), (1, 3000)):
        whole = torch.nn.functional.interpolate(scores[None], size=(height, width), mode="bilinear")[0]
        best = whole.softmax(0).max(0)
        mask = find_mask(scores, (width, height), MaskOptions(size=(13, 9)), 0)
        assert (mask.pixels == best.indices.numpy()).mean() > 0.9999
        means = [float(best.values[best.indices == index].mean()) for index in range(5) if (best.indices == index).any()]
        assert [value for value in mask.probabilities if value] == pytest.approx(means, abs=1e-4)


def test_no_class_of_many_is_lost() -> None:
    """255 classes are told apart; an index fits into a byte beside the one that says unlabelled."""
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    classes = Mask(pixels, np.ones(256)).classes(Labels([]), MaskOptions())
    assert sorted(one["index"] for one in classes) == list(range(255))
    assert Mask(pixels, np.ones(256)).unlabelled == pytest.approx(1 / 256, rel=1e-5)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(index_png(pixels, 1)))), pixels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask": "gif"}, "options: mask must be one of rle, png, none, not 'gif'"),
        ({"form": "old"}, "options: form must be marina or stock, not 'old'"),
        ({"resize": 256}, "options: resize cuts off what a mask must cover: leave it out, or set keep_aspect"),
        ({"keep_aspect": True, "ground": "dark"}, "options: keep_aspect goes neither with form stock nor with ground"),
        ({"threshold": 2}, "options: threshold must be a number from 0 to 1, not 2"),
        ({"max_reply_megabytes": 0}, "options: max_reply_megabytes must be above 0, not 0"),
        ({"mode": "HSV"}, "options: mode must be RGB or L, not 'HSV'"),
        ({"backgroud": 1}, "unknown option 'backgroud': did you mean 'background'?"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], message: str) -> None:
    """What could only fail at the first request fails when the options are read."""
    with pytest.raises(OptionError) as refused:
        read_options(MaskOptions, options)
    assert str(refused.value) == message


class Many(torch.nn.Module):
    """More classes than a byte has."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.expand(-1, 256, -1, -1)


class Flat(torch.nn.Module):
    """One score for an image."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3))


@pytest.mark.parametrize(
    ("network", "labels", "options", "message"),
    [
        (Shades(), ["a"], {}, "labels: 1 names; the network's output has 3 classes"),
        (Shades(), LABELS, {"background": 3}, "background must be an index below 3, the network's classes, not 3"),
        (Flat(), LABELS, {}, "the network must give one output, scores of shape [rows, classes, height, width]"),
        (Many(), [str(one) for one in range(256)], {}, "the network's output has 256 classes; a mask holds at most 255"),
        (
            Shades(),
            LABELS,
            {"form": "stock", "max_reply_megabytes": 0.01},
            "form stock: 24 x 40 pixels do not fit into max_reply_megabytes",
        ),
    ],
    ids=["labels", "background", "a classifier", "too many classes", "too large for the stock form"],
)
def test_options_that_do_not_fit_the_network_fail_at_load(
    network: torch.nn.Module, labels: list[str], options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """The network is run once as it is loaded, so that no caller is the first to notice."""
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the whole message is compared
        serve(tmp_path, network, labels, **options)
    assert str(refused.value) == message


def test_a_network_of_another_size_fails_at_load(tmp_path: Path) -> None:
    """The size and the mode that the spec has are named."""

    class Fixed(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.reshape(-1, 1, 8, 8) + torch.zeros(3, 8, 8)

    folder = traced(tmp_path, Fixed(), (1, 8, 8))
    with pytest.raises(ValueError, match=r"^size, mode: the network does not take images of shape \[rows, 1, 5, 7\]: \w+$"):
        Worker(ImageSegmenter(), folder, config(OPTIONS | {"size": [5, 7]}, LABELS))


def test_the_stock_form_is_what_torchserves_handler_answers(tmp_path: Path) -> None:
    """Rows of [class, probability] for the centre of the image, in the network's size, to six digits."""
    worker = serve(tmp_path, form="stock", size=[8, 8], resize=8, mode="RGB", network=Coloured(), interpolation="bilinear")
    image = scene((24, 16), "RGB")
    (answer,) = worker.ask({"body": file_of(image)})
    expected = _stock_answer(Coloured(), image)
    assert np.asarray(answer.body).shape == (8, 8, 2)
    assert np.allclose(answer.body, expected, atol=1e-3)
    assert answer.body[0][0][0] == float(expected[0][0][0])


class Coloured(Shades):
    """The same, of a colour's mean."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images.mean(1, keepdim=True))


def _stock_answer(network: torch.nn.Module, image: Image.Image) -> Any:
    """By TorchServe's own class, with its preprocessing at our size."""
    from torchvision import transforms
    from ts.torch_handler.image_segmenter import ImageSegmenter as Stock

    steps = transforms.Compose([transforms.Resize(8), transforms.CenterCrop(8), transforms.ToTensor()])
    return Stock().postprocess({"out": network(steps(image)[None])})[0]


@pytest.mark.parametrize("method", [*GRADIENTS, *PERTURBATIONS])
@pytest.mark.filterwarnings("ignore::UserWarning")  # Captum's own
def test_a_class_is_explained_by_what_lies_in_its_mask(tmp_path: Path, method: str) -> None:
    """Of a network that looks at one pixel for one pixel, only what is in the mask has contributed to its mean score."""
    (answer,) = serve(tmp_path, size=[8, 8]).ask(
        {"data": file_of(scene((8, 8)).point(lambda value: value * 0.9)), "method": method.encode()}, headers=[EXPLAIN]
    )
    assert answer.status == 200, answer.body
    cells = np.asarray(answer.body["attributions"])
    assert (answer.body["label"], answer.body["index"], answer.body["method"]) == ("white", 2, method)
    assert answer.body["probability"] == pytest.approx(1, abs=1e-3)
    assert abs(cells[:4, :4]).sum() > 10 * abs(cells[4:]).sum()


def test_another_class_can_be_explained_where_it_is(shades: Worker) -> None:
    """By label or index; one that is nowhere in the mask, or nowhere at all, is refused with those that are."""
    light = file_of(Image.new("L", (8, 8), 255))
    rows = [{"data": file_of(scene()), "target": b"grey"}, {"data": light, "target": b"1"}, {"data": light, "target": b"cat"}]
    grey, nowhere, unknown = shades.ask(*rows, headers=[EXPLAIN] * 3)
    assert grey.body["label"] == "grey"
    assert (nowhere.status, nowhere.body["message"]) == (400, "No pixel of this image is 'grey'; there are: white.")
    assert unknown.body["message"] == "No class is named 'cat'; the first classes are: black, grey, white."


def test_an_explanation_is_a_picture_on_request(shades: Worker) -> None:
    """Accept: image/png gives the heat map over the image."""
    (answer,) = shades.ask({"data": file_of(scene())}, headers=[EXPLAIN | PNG])
    assert answer.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(answer.body)).size == (448, 269)


def test_the_margin_is_no_part_of_an_explanation(tmp_path: Path) -> None:
    """With keep_aspect the margin has the mean colour, and is of no class even where that is a class's own."""
    worker = serve(tmp_path, keep_aspect=True, mean=[0.5], std=[1.0], network=Shifted())
    rows = [{"data": file_of(Image.new("L", (9, 9), 255)), "target": wanted} for wanted in (b"white", b"grey")]
    white, grey = worker.ask(*rows, headers=[EXPLAIN] * 2)
    assert white.body["label"] == "white"
    assert grey.body["message"] == "No pixel of this image is 'grey'; there are: white."


class Shifted(Shades):
    """The same, for what has 0.5 as its mean."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images + 0.5)


def test_predictions_and_explanations_share_a_batch(shades: Worker) -> None:
    """Each row gets what it asked for."""
    row = {"body": file_of(scene())}
    kinds = [answer.body.keys() for answer in shades.ask(row, row, row, headers=[{}, EXPLAIN, {}])]
    assert [("mask" in one, "attributions" in one) for one in kinds] == [(True, False), (False, True), (True, False)]
