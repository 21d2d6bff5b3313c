"""The object detector, with networks whose boxes are known beforehand."""

from __future__ import annotations

import base64
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from handlerkit.detections import Detection, DetectionOptions, detections, without_overlaps
from handlerkit.explain_detection import DetectionScore
from handlerkit.images import decode_sized
from handlerkit.options import OptionError, read_options
from handlerkit.placement import place
from object_detector import ObjectDetector
from pictures import encoded, plain
from PIL import Image
from workers import Answer, Worker, config, traced

LABELS = ["nothing", "cat", "dog"]
OPTIONS: dict[str, Any] = {"size": [16, 16], "mode": "L", "threshold": 0.2}
EXPLAIN = {"explain": "True"}
WHITE = plain("L", (32, 64), 255)
CAT = {"label": "cat", "probability": 0.9, "index": 1, "box": [0, 0, 16, 32]}
DOG = {"label": "dog", "probability": 0.5, "index": 2, "box": [16, 32, 32, 64]}


Candidates = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class Corners(torch.nn.Module):
    """A cat in the top left quarter and a less sure dog in the bottom right one, as surely as these are light."""

    boxes: torch.Tensor
    labels: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("boxes", torch.tensor([[[0.0, 0, 8, 8], [8, 8, 16, 16], [0, 0, 0, 0]]]))
        self.register_buffer("labels", torch.tensor([[1, 2, 0]]))

    def forward(self, images: torch.Tensor) -> Candidates:
        cat = images[:, :, :8, :8].mean((1, 2, 3)) * 0.9
        dog = images[:, :, 8:, 8:].mean((1, 2, 3)) * 0.5
        none = 0 * cat.unsqueeze(1)
        return self.boxes + none.unsqueeze(2), torch.stack([cat, dog, dog * 0], 1), self.labels + none.long()


def serve(folder: Path, options: dict[str, Any] | None = None, network: torch.nn.Module | None = None) -> Worker:
    made = traced(folder, network or Corners(), (1, 16, 16))
    return Worker(ObjectDetector(), made, config(OPTIONS | (options or {}), LABELS))


@pytest.fixture
def corners(tmp_path: Path) -> Worker:
    return serve(tmp_path)


def test_boxes_are_in_pixels_of_the_image_that_was_sent(corners: Worker) -> None:
    """Best first, with label, probability and index; an image of 32 x 64 was stretched to 16 x 16."""
    (answer,) = corners.ask({"body": WHITE})
    assert (answer.status, answer.body) == (200, [CAT, DOG])


def test_a_letterbox_keeps_proportions_and_its_bars_are_no_part_of_the_image(tmp_path: Path) -> None:
    """A wide image fills half of the network's height: boxes are moved back, and cut off where the image ends."""
    worker = serve(tmp_path, {"fit": "letterbox", "padding": 255})
    (answer,) = worker.ask({"body": plain("L", (64, 32), 255)})
    assert [one["box"] for one in answer.body] == [[0, 0, 32, 16], [32, 16, 64, 32]]


def test_a_box_that_lies_in_a_letterboxs_bar_is_nothing() -> None:
    """An image of 1000 x 10 fills one line in the middle of the network's input; what is above and below is not in it."""
    network = Corners()
    image, placement = place(Image.new("L", (1000, 10)), (1000, 10), DetectionOptions(size=(16, 16), fit="letterbox"))
    assert (image.size, placement.inside) == ((16, 16), (0, 7, 16, 8))
    candidates = [one[0] for one in network(torch.ones(1, 1, 16, 16))]
    found = detections(candidates, placement, DetectionOptions(threshold=0), 9, 0)
    assert [one.box for one in found] == [(0, 0, 500, 10)]


def test_a_photo_taken_sideways_has_boxes_as_it_is_seen(corners: Worker) -> None:
    """The EXIF orientation is obeyed: the file is 64 wide and 32 high, the upright picture 32 wide and 64 high."""
    exif = Image.Exif()
    exif[0x0112] = 6
    (answer,) = corners.ask({"body": encoded(Image.new("L", (64, 32), 255), "JPEG", exif=exif)})
    assert answer.body == [CAT, DOG]


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_jpeg_is_decoded_small_and_its_size_is_known(orientation: int) -> None:
    """Boxes count the pixels that were sent, not those that were decoded."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    image, sent = decode_sized(encoded(Image.new("L", (1999, 1001)), "JPEG", exif=exif), "L", 50, least=16)
    assert sent == ((1999, 1001) if orientation == 1 else (1001, 1999))
    assert max(image.size) < 600


@pytest.mark.parametrize("way", ["option", "request"])
def test_the_old_form_is_what_torchserves_handler_answers(tmp_path: Path, way: str) -> None:
    """form: stock, in the spec or in the request, gives what the stock handler's own code makes of the same boxes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ts.torch_handler.object_detector import ObjectDetector as Stock
    stock = Stock()
    stock.mapping, stock.threshold = {"1": "cat", "2": "dog"}, 0.2
    found = {"boxes": torch.tensor([[0.0, 0, 16, 32], [16, 32, 32, 64]]), "labels": torch.tensor([1, 2])}
    ((cat, dog),) = stock.postprocess([found | {"scores": torch.tensor([0.9, 0.5])}])
    worker = serve(tmp_path, {"form": "stock"} if way == "option" else {})
    (answer,) = worker.ask({"data": WHITE} | ({"form": b"stock"} if way == "request" else {}))
    assert answer.body == [cat, dog] == [{"cat": CAT["box"], "score": pytest.approx(0.9)}, {"dog": DOG["box"], "score": 0.5}]


def test_a_request_chooses_how_many_boxes_and_how_probable(corners: Worker) -> None:
    """top_k and threshold count for one request alone; where nothing is left the answer is an empty list."""
    rows = [{"data": WHITE, "top_k": b"1"}, {"data": WHITE, "threshold": b"0.6"}, {"data": WHITE, "threshold": b"0.95"}]
    one, two, three, all_of_them = corners.ask(*rows, {"body": {"data": base64.b64encode(WHITE).decode(), "threshold": 0}})
    assert one.body == two.body == [CAT]
    assert (three.status, three.body) == (200, [])
    assert all_of_them.body == [CAT, DOG]


@pytest.mark.parametrize(
    ("parts", "status", "message"),
    [
        ({"data": b"no image"}, 422, "Not an image that can be read; formats: PNG, JPEG, WEBP, BMP, GIF."),
        ({"data": WHITE, "threshold": b"2"}, 400, "'threshold' must be a number from 0 to 1; found '2'."),
        ({"data": WHITE, "top_k": b"none"}, 400, "'top_k' must be a number from 1 to 1000; found 'none'."),
        ({"data": WHITE, "form": b"old"}, 400, "'form' must be marina or stock; found 'old'."),
    ],
    ids=["no image", "threshold", "top_k", "form"],
)
def test_what_cannot_be_answered_is_refused_alone(corners: Worker, parts: dict[str, Any], status: int, message: str) -> None:
    """The refusal says what was wrong; the rows beside it are answered."""
    before, refused, after = corners.ask({"body": WHITE}, parts, {"body": WHITE})
    assert (refused.status, refused.body["message"]) == (status, message)
    assert before.body == after.body == [CAT, DOG]


def test_images_of_every_size_share_a_batch(corners: Worker) -> None:
    """One pixel, a strip and 40 megapixels: each is answered in its own pixels."""
    answers = corners.ask(*({"body": plain("L", size, 255)} for size in ((1, 1), (3000, 1), (8000, 5000))))
    assert [answer.body[1]["box"] for answer in answers] == [[0.5, 0.5, 1, 1], [1500, 0.5, 3000, 1], [4000, 2500, 8000, 5000]]


@pytest.mark.parametrize("which", [0, 1], ids=["boxes", "scores"])
def test_numbers_that_are_none_are_one_rows_fault(tmp_path: Path, which: int) -> None:
    """A row whose boxes or scores are NaN gets a 500 of its own, and its neighbours their boxes."""

    class Faulty(Corners):
        def forward(self, images: torch.Tensor) -> Candidates:
            outputs = list(super().forward(images))
            fault = images.mean((1, 2, 3)).sub(0.5).abs() < 0.1
            outputs[which] = outputs[which].masked_fill(fault.reshape(-1, *[1] * (outputs[which].ndim - 1)), float("nan"))
            return outputs[0], outputs[1], outputs[2]

    answers = serve(tmp_path, network=Faulty()).ask(*({"body": plain("L", (32, 64), shade)} for shade in (255, 128, 255, 0)))
    assert [answer.status for answer in answers] == [200, 500, 200, 200]
    assert [answers[0].body, answers[3].body] == [[CAT, DOG], []]


def test_a_class_without_a_label_is_our_fault(tmp_path: Path) -> None:
    """A network of more classes than the archive has labels is not answered with a wrong name."""
    worker = Worker(ObjectDetector(), traced(tmp_path, Corners(), (1, 16, 16)), config(OPTIONS, LABELS[:2]))
    assert worker.ask({"body": WHITE})[0].status == 500


def test_classes_without_labels_are_numbered(tmp_path: Path) -> None:
    """An archive without labels answers, and explains, by index."""
    worker = Worker(ObjectDetector(), traced(tmp_path, Corners(), (1, 16, 16)), config(OPTIONS))
    found, explained = worker.ask({"body": WHITE}, {"data": WHITE, "target": b"2"}, headers=[{}, EXPLAIN])
    assert [one["label"] for one in found.body] == ["1", "2"]
    assert explained.body["label"] == "2"


def test_kserve_requests_carry_several_images(corners: Worker) -> None:
    """Version 1 of the protocol: two images, two lists of boxes."""
    sent = [{"data": base64.b64encode(plain("L", (32, 64), shade)).decode()} for shade in (255, 0)]
    (answer,) = corners.ask({"body": {"instances": sent}})
    assert answer.body == {"predictions": [[CAT, DOG], []]}


def test_overlapping_boxes_are_dropped_as_torchvision_drops_them() -> None:
    """Non-maximum suppression by class agrees with torchvision's on a thousand random boxes, at several overlaps."""
    from torchvision.ops import batched_nms

    generator = torch.Generator().manual_seed(1)
    corner, size = torch.rand(1000, 2, generator=generator) * 50, torch.rand(1000, 2, generator=generator) * 30 + 1
    boxes = torch.cat([corner, corner + size], 1)
    labels = torch.randint(0, 3, (1000,), generator=generator)
    for iou in (0.0, 0.3, 0.7):
        kept = without_overlaps(boxes, labels, iou).nonzero().flatten()
        expected = batched_nms(boxes, torch.linspace(1, 0, 1000), labels, iou)
        assert kept.tolist() == expected.tolist()
        assert 3 <= len(kept) < 1000
    assert without_overlaps(torch.zeros(0, 4), torch.zeros(0), 0.5).tolist() == []


def test_the_handler_drops_overlapping_boxes_where_the_network_does_not(tmp_path: Path) -> None:
    """With iou the surest box of a class stays; one of another class in the same place does too."""

    class Crowd(Corners):
        def forward(self, images: torch.Tensor) -> Candidates:
            boxes, scores, labels = super().forward(images)
            return boxes, torch.stack([scores[:, 1], scores[:, 0], scores[:, 1]], 1), labels

    crowd = Crowd()
    crowd.boxes = torch.tensor([[[1.0, 0, 9, 8], [0, 0, 8, 8], [0, 0, 8, 8]]])
    crowd.labels = torch.tensor([[1, 1, 2]])
    every, some = (serve(tmp_path, options, crowd).ask({"body": WHITE})[0].body for options in ({}, {"iou": 0.5}))
    assert [(one["label"], one["probability"]) for one in every] == [("cat", 0.9), ("cat", 0.5), ("dog", 0.5)]
    assert [(one["label"], one["probability"]) for one in some] == [("cat", 0.9), ("dog", 0.5)]


def test_the_picture_with_its_boxes_is_sent_on_request(corners: Worker) -> None:
    """Accept: image/png gives the image, small ones enlarged, with a coloured line around each thing and its name."""
    grey = plain("L", (32, 64), 200)
    (answer,) = corners.ask({"body": grey}, headers=[{"Accept": "image/png"}])
    assert answer.headers["content-type"] == "image/png"
    pixels = np.asarray(Image.open(io.BytesIO(answer.body)), dtype=int)
    assert pixels.shape == (448, 224, 3)
    colourful = np.ptp(pixels, axis=2) > 60
    assert colourful[30:220, :3].all(), "the cat's left side"
    assert colourful[445:, 115:].all(), "the dog's lower side"
    assert not colourful[230:, :100].any(), "where nothing is"


def explained(worker: Worker, headers: dict[str, str] | None = None, **parts: Any) -> Answer:
    return worker.ask({"data": WHITE, **parts}, headers=[EXPLAIN | (headers or {})])[0]


@pytest.fixture(params=["torchscript", "onnx"])
def any_runtime(request: pytest.FixtureRequest, tmp_path: Path) -> Worker:
    """The same network with gradients and without."""
    if request.param == "torchscript":
        return serve(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        axes, file = {"input": {0: "rows"}}, str(tmp_path / "model.pt")
        example = (torch.zeros(2, 1, 16, 16),)
        torch.onnx.export(Corners(), example, file, input_names=["input"], dynamic_axes=axes, dynamo=False)
    return Worker(ObjectDetector(), tmp_path, config(OPTIONS, LABELS, "onnx"))


@pytest.mark.parametrize(("target", "corner"), [(None, (0, 0)), (b"dog", (8, 8)), (b"2", (8, 8))])
def test_an_explanation_finds_where_the_network_looked(
    any_runtime: Worker, target: bytes | None, corner: tuple[int, int]
) -> None:
    """The best box, or the best of the class that is asked for: what counts lies in its corner alone, on every runtime."""
    named: dict[str, Any] = {"target": target} if target else {}
    answer = explained(any_runtime, **named)
    assert answer.status == 200, answer.body
    assert {key: answer.body[key] for key in CAT} == (DOG if target else CAT)
    assert answer.body["method"] == "occlusion"
    assert 0.1 < answer.body["fidelity"] <= 1
    cells = np.asarray(answer.body["attributions"])
    inside = cells[corner[1] : corner[1] + 8, corner[0] : corner[0] + 8].sum()
    assert inside == pytest.approx(cells.sum(), abs=1e-6)
    assert inside == pytest.approx(answer.body["probability"], rel=1e-3)


def test_an_explanation_is_a_picture_on_request(corners: Worker) -> None:
    """Red over what counts, and the box that is explained."""
    answer = explained(corners, {"Accept": "image/png"})
    assert answer.headers["content-type"] == "image/png"
    pixels = np.asarray(Image.open(io.BytesIO(answer.body)), dtype=int)
    assert pixels.shape == (448, 448, 3)
    assert (pixels[60:200, 20:200, 0] - pixels[60:200, 20:200, 2]).mean() > 50
    assert (np.ptp(pixels[250:, 250:], axis=2) < 5).all()


@pytest.mark.parametrize(
    ("parts", "status", "message"),
    [
        (
            {"data": plain("L", (9, 9), 0)},
            422,
            "Nothing is found here, so there is nothing to explain; a lower threshold finds more.",
        ),
        (
            {"threshold": b"0.6", "target": b"dog"},
            422,
            "No 'dog' is found here, so there is nothing to explain; a lower threshold ",
        ),
        ({"target": b"horse"}, 400, "No class is named 'horse'; the first classes are: nothing, cat, dog."),
        ({"method": b"saliency"}, 400, "No method is named 'saliency'; methods: occlusion, feature_ablation, kernel_shap."),
    ],
    ids=["nothing found", "not this class", "no such class", "gradients"],
)
def test_what_cannot_be_explained_says_why(corners: Worker, parts: dict[str, Any], status: int, message: str) -> None:
    """Refused with the reason, and what would help."""
    answer = explained(corners, **parts)
    assert answer.status == status
    assert answer.body["message"].startswith(message)


def test_the_score_that_is_explained_is_the_boxes_own(corners: Worker) -> None:
    """For the image itself it is the probability that was answered; half of it where the best box overlaps by a half."""
    image = torch.ones(1, 1, 16, 16)
    for seen, expected in (((0, 0, 8, 8), 0.9), ((0, 0, 8, 4), 0.45), ((8, 8, 16, 16), 0.0)):
        score = DetectionScore(corners.handler.runtime, Detection(1, 0.9, (0, 0, 0, 0), seen))
        assert score.run(image).tolist() == [[pytest.approx(expected)]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"iuo": 0.5}, "unknown option 'iuo': did you mean 'iou'?"),
        ({"iou": 2}, "options: iou must be a number from 0 to 1, not 2"),
        ({"threshold": "high"}, "options: threshold must be a number from 0 to 1, not 'high'"),
        ({"form": "old"}, "options: form must be marina or stock, not 'old'"),
        ({"fit": "crop"}, "options: fit must be stretch or letterbox, not 'crop'"),
        ({"padding": 300}, "options: padding must be a whole number from 0 to 255, not 300"),
        ({"resize": 300}, "options: resize cuts off an image's sides, and what is on them; use fit: letterbox or stretch"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], message: str) -> None:
    """What could only fail at the first request fails when the options are read."""
    with pytest.raises(OptionError) as refused:
        read_options(DetectionOptions, options)
    assert str(refused.value) == message


def test_a_method_that_needs_gradients_fails_at_load(tmp_path: Path) -> None:
    """Boxes have none, whatever the runtime."""
    with pytest.raises(
        ValueError, match=r"^explain: method must be one of occlusion, feature_ablation, kernel_shap, not 'saliency'$"
    ):
        serve(tmp_path, {"explain": {"method": "saliency"}})


class OneTensor(torch.nn.Module):
    """Answers like a classifier."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3))


class BoxesOfThree(Corners):
    """Forgets where boxes end."""

    def forward(self, images: torch.Tensor) -> Candidates:
        boxes, scores, labels = super().forward(images)
        return boxes[:, :, :3], scores, labels


class LabelsAsFloats(Corners):
    """Has labels that are no whole numbers."""

    def forward(self, images: torch.Tensor) -> Candidates:
        boxes, scores, labels = super().forward(images)
        return boxes, scores, labels.float()


@pytest.mark.parametrize(
    ("network", "found"),
    [
        (OneTensor(), "float32 [2, 1]"),
        (BoxesOfThree(), "float32 [2, 3, 3], float32 [2, 3], int64 [2, 3]"),
        (LabelsAsFloats(), "float32 [2, 3, 4], float32 [2, 3], float32 [2, 3]"),
    ],
    ids=["one tensor", "boxes of three", "labels as floats"],
)
def test_a_network_of_another_contract_fails_at_load(tmp_path: Path, network: torch.nn.Module, found: str) -> None:
    """In one line: what is required, and what was found."""
    with pytest.raises(ValueError, match=r"^the network must give boxes") as refused:
        serve(tmp_path, network=network)
    required = "boxes [rows, N, 4], scores [rows, N] and labels [rows, N] of whole numbers"
    assert str(refused.value) == f"the network must give {required}; for 2 images it gives {found}"


def test_a_size_that_the_network_does_not_take_fails_at_load(tmp_path: Path) -> None:
    """The network is run once as it is loaded."""

    class OfItsSize(Corners):
        def forward(self, images: torch.Tensor) -> Candidates:
            return super().forward(images.reshape(-1, 1, 16, 16) + torch.zeros(1, 1, 16, 16))

    message = r"^size, mode: the network does not take images of shape \[rows, 1, 15, 15\]: RuntimeError$"
    with pytest.raises(ValueError, match=message):
        serve(tmp_path, {"size": [15, 15]}, OfItsSize())


def test_dark_ink_on_paper_is_read_in_a_letterbox_too(tmp_path: Path) -> None:
    """ground: dark inverts the image, and the bars beside it stay as the options have them."""
    worker = serve(tmp_path, {"fit": "letterbox", "padding": 0, "ground": "dark"})
    paper = Image.new("L", (64, 32), 255)
    paper.paste(0, (2, 2, 30, 14))
    (answer,) = worker.ask({"body": encoded(paper)})
    assert [(one["label"], one["box"]) for one in answer.body] == [("cat", [0, 0, 32, 16])]
