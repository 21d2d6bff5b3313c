"""From a network's scores to a mask: the class of every pixel of an image, in the size in which it was sent."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from handlerkit.images import ImageOptions, decode_sized, fit
from handlerkit.labels import Labels

UNLABELLED = 255
AT_ONCE = 1 << 23  # scores that are in memory together: 32 MB of them, and as much for what is made of them
STOCK_CHARACTERS = 20  # of a pixel in JSON, at most: "[254.0, 0.999999], "
ENCODINGS = ("rle", "png", "none")
Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Size = tuple[int, int]


@dataclass(frozen=True)
class MaskOptions(ImageOptions):
    """How an image becomes a tensor, as ``ImageOptions`` say it, and how its mask is answered.

    Attributes:
        resize: only with ``form: stock``: what it cuts off an image would have no place in the mask.
        keep_aspect: fit the whole image into ``size``, with a margin of the mean colour at the right or the bottom;
            else it is stretched.
        background: index of the class that is no object, which is listed last; None where there is none.
        mask: how the mask is written where the request does not say: ``rle``, ``png`` or ``none``.
        form: ``stock`` answers as TorchServe's own image_segmenter does: for each pixel of the network's output
            [class, probability].
        max_reply_megabytes: of one answer. TorchServe's own limit is 6.55 MB.
        max_megapixels, top_k: as in ``ImageOptions``, with other defaults.
        threshold: a pixel whose class is less probable is UNLABELLED.
    """

    keep_aspect: bool = False
    background: int | None = 0
    mask: Literal["rle", "png", "none"] = "rle"
    max_reply_megabytes: float = 6
    max_megapixels: float = 16
    top_k: int = 255

    def __post_init__(self) -> None:
        """Refuse values that could only fail at the first request."""
        super().__post_init__()
        if self.mask not in ENCODINGS:
            raise ValueError(f"mask must be one of {', '.join(ENCODINGS)}, not {self.mask!r}")
        if self.resize is not None and self.form != "stock":
            raise ValueError("resize cuts off what a mask must cover: leave it out, or set keep_aspect")
        if self.keep_aspect and (self.form == "stock" or self.ground is not None):
            raise ValueError("keep_aspect goes neither with form stock nor with ground")
        if self.max_reply_megabytes <= 0:
            raise ValueError(f"max_reply_megabytes must be above 0, not {self.max_reply_megabytes!r}")

    def check(self, scores: Any, labels: int) -> None:
        """Compare with what the network makes of images of ``size``.

        Raises:
            ValueError: it is not what can be answered.
        """
        if not (isinstance(scores, torch.Tensor) and scores.ndim == 4 and scores.is_floating_point()):
            raise ValueError("the network must give one output, scores of shape [rows, classes, height, width]")
        _, classes, height, width = scores.shape
        if labels not in (0, classes):
            raise ValueError(f"labels: {labels} names; the network's output has {classes} classes")
        if classes > UNLABELLED:
            raise ValueError(f"the network's output has {classes} classes; a mask holds at most {UNLABELLED}")
        if self.background is not None and not 0 <= self.background < classes:
            raise ValueError(f"background must be an index below {classes}, the network's classes, not {self.background}")
        if self.form == "stock" and height * width * STOCK_CHARACTERS > self.max_reply_megabytes * 1e6:
            raise ValueError(f"form stock: {height} x {width} pixels do not fit into max_reply_megabytes")


@dataclass(frozen=True)
class Mask:
    """What a network sees where.

    Attributes:
        pixels: uint8, shape [height, width] of the image as it was sent: the index of a class, or UNLABELLED.
        probabilities: of each class, the mean over its pixels, float64, shape [256].
    """

    pixels: Pixels
    probabilities: np.ndarray[Any, Any]

    @property
    def unlabelled(self) -> float:
        """The share of the pixels that no class was probable enough for."""
        return _significant(np.count_nonzero(self.pixels == UNLABELLED) / self.pixels.size)

    def classes(self, labels: Labels, options: MaskOptions) -> list[dict[str, Any]]:
        """What is answered of each class: the largest first, the background last."""
        counts = np.bincount(self.pixels.ravel(), minlength=UNLABELLED)[:UNLABELLED]
        return [
            labels.answer(index, float(self.probabilities[index]))
            | {"share": _significant(counts[index] / self.pixels.size), "box": _box(self.pixels == index)}
            for index in largest_first(counts, options.background)
        ]


def network_picture(content: bytes, options: MaskOptions) -> tuple[Image.Image, Size]:
    """What the network sees of an image, before it becomes numbers, and the width and height that the image was sent in.

    Raises:
        UnprocessableInput: not an image, or a damaged one.
        PayloadTooLarge: more pixels than the options allow.
    """
    image, sent = decode_sized(content, options.mode, options.max_megapixels, options.resize or max(options.size))
    if not options.keep_aspect:
        return fit(image, options), sent
    width, height = fitted(sent, options)
    ground = tuple(round(255 * value) for value in options.mean)
    channels = len(image.getbands())
    canvas = Image.new(options.mode, options.size[::-1], (ground * channels)[:channels])
    canvas.paste(image.resize((width, height), Image.Resampling[options.interpolation.upper()]))
    return canvas, sent


def fitted(sent: Size, options: MaskOptions) -> Size:
    """Width and height of the image in the network's input, at whose top left it lies."""
    height, width = options.size
    if not options.keep_aspect:
        return width, height
    scale = min(width / sent[0], height / sent[1])
    return max(1, round(sent[0] * scale)), max(1, round(sent[1] * scale))


def find_mask(scores: torch.Tensor, sent: Size, options: MaskOptions, threshold: float) -> Mask:
    """The best class of each pixel.

    Args:
        scores: before softmax, shape [classes, height, width], over the network's input.
        sent: width and height of the image; the scores are brought to them, bilinearly, before the best is chosen.
        options: of the archive.
        threshold: least probability of a pixel that has a class.
    """
    scores = _cut(scores.float().cpu(), sent, options)
    if sent[0] <= sent[1]:
        return _find(scores, sent, threshold)
    mask = _find(scores.transpose(1, 2), sent[::-1], threshold)  # bands lie across the longer side, so that none is large
    return Mask(np.ascontiguousarray(mask.pixels.T), mask.probabilities)


def best_places(scores: torch.Tensor, sent: Size, options: MaskOptions) -> Pixels:
    """The best class at each place of the network's output, uint8, shape [height, width]; UNLABELLED in the margin."""
    best = scores.argmax(0).to(torch.uint8)
    margins = zip(fitted(sent, options)[::-1], options.size, best.shape, strict=True)
    rows, columns = (math.ceil(part * places / whole) for part, whole, places in margins)
    best[rows:], best[:, columns:] = UNLABELLED, UNLABELLED
    return best.numpy()


def largest_first(counts: np.ndarray[Any, Any], background: int | None) -> list[int]:
    """Indices of the classes that have pixels: the largest first, the background last."""
    found: list[int] = np.flatnonzero(counts[:UNLABELLED]).tolist()
    return sorted(found, key=lambda index: (index == background, -counts[index]))


def stock_form(scores: torch.Tensor) -> list[list[list[float]]]:
    """As TorchServe's own image_segmenter answers: rows of pixels, each its class and the class's probability."""
    best = scores.float().cpu().softmax(0).max(0)
    pairs = np.stack([best.indices.numpy().astype(np.float64), best.values.numpy().astype(np.float64).round(6)], axis=2)
    rows: list[list[list[float]]] = pairs.tolist()
    return rows


def _cut(scores: torch.Tensor, sent: Size, options: MaskOptions) -> torch.Tensor:
    """The scores without the margin, in the network's input size where there is one."""
    width, height = fitted(sent, options)
    if (height, width) == options.size:
        return scores
    return _enlarged(scores, options.size)[:, :height, :width]


def _find(scores: torch.Tensor, sent: Size, threshold: float) -> Mask:
    """``find_mask`` for scores of the image alone, which is no wider than high."""
    width, height = sent
    pixels = np.empty((height, width), np.uint8)
    sums = torch.zeros(UNLABELLED + 1, dtype=torch.float64)
    for rows in torch.arange(height).split(max(1, AT_ONCE // (width * len(scores)))):
        band = _enlarged(_lines(scores, rows, height), (len(rows), width))
        best, classes = band.max(0)
        probabilities = 1 / (band - best).exp_().sum(0)
        classes[probabilities < threshold] = UNLABELLED
        sums += torch.bincount(classes.flatten(), probabilities.flatten().double(), minlength=UNLABELLED + 1)
        pixels[rows[0] : rows[-1] + 1] = classes
    counts = np.bincount(pixels.ravel(), minlength=UNLABELLED + 1)
    return Mask(pixels, sums.numpy() / counts.clip(1))


def _lines(scores: torch.Tensor, rows: torch.Tensor, height: int) -> torch.Tensor:
    """Some of the lines that the scores have when they are brought to a height, shape [classes, rows, width]."""
    known = scores.shape[1]
    places = ((rows + 0.5) * known / height - 0.5).clamp(0, known - 1)
    above = places.long()
    below = (above + 1).clamp(max=known - 1)
    return scores[:, above].lerp(scores[:, below], (places - above)[:, None])


def _enlarged(scores: torch.Tensor, size: Size) -> torch.Tensor:
    """Scores of shape [classes, *size]."""
    return torch.nn.functional.interpolate(scores[None], size=size, mode="bilinear", align_corners=False)[0]


def _box(inside: np.ndarray[Any, Any]) -> list[int]:
    """Left, top, right and bottom of what is inside, in pixels; right and bottom are the first ones outside."""
    columns, rows = np.flatnonzero(inside.any(axis=0)), np.flatnonzero(inside.any(axis=1))
    return [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]


def _significant(share: float) -> float:
    return float(f"{share:.6g}")
