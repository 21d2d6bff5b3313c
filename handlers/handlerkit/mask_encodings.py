"""A mask as it is asked for and sent: run-length or PNG in an answer, a PNG of its own, or a picture to look at."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from handlerkit.batch import Row
from handlerkit.errors import BadRequest, PayloadTooLarge
from handlerkit.masks import ENCODINGS, UNLABELLED, MaskOptions, Pixels, Size
from handlerkit.request_options import number, one_of, whole_number

MEGA = 1_000_000
SIDE = 640
STRENGTH = 0.55
PICTURES = ("mask", "overlay")
PNG = "image/png"


@dataclass(frozen=True)
class Asked:
    """What a request says of its image and of its answer.

    Attributes:
        sent: width and height of the image, upright.
        mask: one of ENCODINGS.
        picture: one of PICTURES, where a PNG is wanted in place of JSON.
        threshold: least probability of a pixel that has a class.
        top_k: how many classes are listed.
    """

    sent: Size
    mask: str
    picture: str | None
    threshold: float
    top_k: int


def read_asked(row: Row, sent: Size, options: MaskOptions) -> Asked:
    """What a request asks for; what it does not say, the options do.

    Raises:
        BadRequest: it asks for what there is not.
    """
    mask = one_of(row, "mask", options.mask, ENCODINGS)
    picture = one_of(row, "picture", PICTURES[0], PICTURES)
    accepted = row.accepts(PNG)
    if row.option("picture") is not None and not accepted:
        raise BadRequest(f"'picture' goes with the header Accept: {PNG}.")
    threshold = number(row, "threshold", options.threshold, 0, 1)
    return Asked(sent, mask, picture if accepted else None, threshold, whole_number(row, "top_k", options.top_k, 1, 1000))


def encoded(pixels: Pixels, encoding: str, limit: float) -> dict[str, Any] | None:
    """A mask within a JSON answer; None where none is wanted.

    Args:
        pixels: of the mask, shape [height, width].
        encoding: one of ENCODINGS.
        limit: in megabytes; a longer run-length mask comes as PNG, with ``"instead_of": "rle"``.

    Returns:
        ``{"encoding": "rle", "values": […], "lengths": […]}``: runs of pixels of one class, line after line from the top
        left, so that ``numpy.repeat(values, lengths).reshape(height, width)`` is the mask; or
        ``{"encoding": "png", "data": "<base64>"}`` with what ``index_png`` gives.

    Raises:
        PayloadTooLarge: the PNG is over the limit too.
    """
    if encoding == "none":
        return None
    values, lengths = runs(pixels)
    if encoding == "rle" and _characters(values) + _characters(lengths) <= limit * MEGA:
        return {"encoding": "rle", "values": values.tolist(), "lengths": lengths.tolist()}
    data = base64.b64encode(index_png(pixels, limit * 3 / 4)).decode()
    return {"encoding": "png", "data": data} | ({"instead_of": "rle"} if encoding == "rle" else {})


def runs(pixels: Pixels) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Values and lengths of the runs of equal pixels, line after line; a run may go on in the next line."""
    flat = pixels.ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    return flat[starts], np.diff(np.append(starts, flat.size))


def index_png(pixels: Pixels, limit: float) -> bytes:
    """A PNG whose pixels are the mask's values, with a palette, so that it can be looked at.

    Raises:
        PayloadTooLarge: it is over the limit, in megabytes.
    """
    image = Image.fromarray(pixels)
    image.putpalette(palette().tobytes())
    file = _png(image)
    if len(file) > limit * MEGA:
        size = f"{len(file) / MEGA:.1f} MB as PNG; the limit is {limit:g} MB"
        raise PayloadTooLarge(f"The mask has {size}. Send a smaller image, or ask for mask=none.")
    return file


def overlay(image: Image.Image, pixels: Pixels, background: int | None, classes: Sequence[dict[str, Any]]) -> bytes:
    """A PNG to look at: the image, its classes laid over it in colours, each with its label.

    Args:
        image: of any size.
        pixels: the mask, in any size of the same shape.
        background: index of the class that gets no colour, nor do pixels without a class.
        classes: as they are answered.
    """
    scale = SIDE / max(pixels.shape)
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    ground = image.convert("RGB").resize(size, Image.Resampling.BILINEAR if scale < 1 else Image.Resampling.NEAREST)
    mask = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST))
    coloured = (mask != UNLABELLED) & (mask != (UNLABELLED if background is None else background))
    strength = Image.fromarray((coloured * round(255 * STRENGTH)).astype(np.uint8))
    picture = Image.composite(Image.fromarray(palette()[mask]), ground, strength)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(24)
    for one in classes:
        if one["index"] != background:
            place = (round(one["box"][0] * scale), round(one["box"][1] * scale))
            draw.text(place, one["label"], "white", font, stroke_width=3, stroke_fill="black")
    return _png(picture)


def palette() -> Pixels:
    """256 colours, uint8, shape [256, 3]: those of PASCAL VOC's masks. Bits 0, 3, 6 of an index make red, and so on."""
    indices = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for place in range(8):
        for channel in range(3):
            bit = (indices >> (3 * place + channel)) & 1
            colours[:, channel] |= (bit << (7 - place)).astype(np.uint8)
    return colours


def _characters(numbers: np.ndarray[Any, Any]) -> int:
    """Of the numbers in a JSON list."""
    return int(np.log10(numbers.clip(1)).astype(int).sum()) + 3 * len(numbers)


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
