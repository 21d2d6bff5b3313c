"""From the bytes of an image, as a person sends it, to the tensor that a network takes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image, ImageOps, ImageStat

from handlerkit.choice import Form, check_choice
from handlerkit.errors import PayloadTooLarge, UnprocessableInput
from handlerkit.payload import array

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
MEGA = 1_000_000
ORIENTATION, SIDEWAYS = 0x0112, (5, 6, 7, 8)  # of EXIF
SHIFT = 0.05  # of a pixel of the network's input
CHANNELS = {"RGB": 3, "L": 1}


@dataclass(frozen=True)
class ImageOptions:
    """How an image becomes a tensor, and how many classes are answered.

    Attributes:
        size: height and width of the network's input, in pixels.
        mode: ``RGB`` (three channels) or ``L`` (grey, one channel).
        resize: length to which the shorter side is brought before the centre is cut out to ``size``;
            None stretches the whole image to ``size``.
        interpolation: ``bilinear`` (as torchvision's classifiers were trained), ``bicubic`` or ``box``.
        mean, std: of each channel, for values between 0 and 1.
        ground: ``dark`` where the network knows light strokes on a dark ground alone: an image whose border
            is light is then inverted. None leaves images as they are.
        max_megapixels: of the image as it was sent; larger ones are refused before they are decoded.
        top_k: how many classes an answer lists.
        threshold: least probability of a class that an answer lists.
        form: of an answer: ``marina``, or ``stock`` as TorchServe's own handlers have it, an object of probabilities by label.
    """

    size: tuple[int, int] = (224, 224)
    mode: Literal["RGB", "L"] = "RGB"
    resize: int | None = None
    interpolation: Literal["bilinear", "bicubic", "box"] = "bilinear"
    mean: Sequence[float] = (0.0,)
    std: Sequence[float] = (1.0,)
    ground: Literal["dark"] | None = None
    max_megapixels: float = 50
    top_k: int = 5
    threshold: float = 0.0
    form: Form = "marina"

    def __post_init__(self) -> None:
        """Refuse values that could only fail at the first request."""
        channels = CHANNELS.get(self.mode)
        if channels is None:
            raise ValueError(f"mode must be RGB or L, not {self.mode!r}")
        if len(self.size) != 2 or not all(isinstance(side, int) and side > 0 for side in self.size):
            raise ValueError(f"size must be [height, width] in pixels, not {list(self.size)}")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, channels):
                raise ValueError(f"{name} must have 1 or {channels} values for mode {self.mode}, not {len(values)}")
        if not all(self.std):
            raise ValueError("std must not contain 0")
        if self.resize is not None and self.resize < max(self.size):
            raise ValueError(f"resize ({self.resize}) must be at least the larger side of size ({max(self.size)})")
        if self.interpolation not in ("bilinear", "bicubic", "box"):
            raise ValueError(f"interpolation must be bilinear, bicubic or box, not {self.interpolation!r}")
        if self.ground not in (None, "dark"):
            raise ValueError(f"ground must be dark or left out, not {self.ground!r}")
        if self.max_megapixels <= 0:
            raise ValueError("max_megapixels must be above 0")
        check_choice(self)


def read_image(content: bytes, options: ImageOptions) -> torch.Tensor:
    """The network's input for one image.

    Args:
        content: a file of one of FORMATS, of any size and colour mode.
        options: what the network expects.

    Returns:
        float32, shape [channels, height, width], normalised.

    Raises:
        UnprocessableInput: not an image, or a damaged one.
        PayloadTooLarge: more pixels than the options allow.
    """
    return to_tensor(picture(content, options), options)


def read_numbers(sent: list[Any], options: ImageOptions) -> torch.Tensor:
    """The network's input where a request has it already: nested lists of numbers, normalised, [channels, height, width].

    Raises:
        UnprocessableInput: they are no numbers, or of another shape.
    """
    return torch.from_numpy(array(sent, (CHANNELS[options.mode], *options.size), np.float32))


def picture(content: bytes, options: ImageOptions) -> Image.Image:
    """What the network sees of an image, before it becomes numbers. Raises as ``read_image`` does."""
    least = options.resize or max(options.size)
    if options.interpolation == "box":
        least *= 8  # a box takes a pixel whole or not at all, and so needs more of them
    return fit(decode(content, options.mode, options.max_megapixels, least), options)


def decode(content: bytes, mode: str, max_megapixels: float, least: int | None = None) -> Image.Image:
    """The image of ``decode_sized`` alone."""
    return decode_sized(content, mode, max_megapixels, least)[0]


def decode_sized(
    content: bytes, mode: str, max_megapixels: float, least: int | None = None
) -> tuple[Image.Image, tuple[int, int]]:
    """The image upright, in a colour mode, with eight bits a channel, transparency on white; and its width and height as sent.

    Args:
        content: a file of one of FORMATS.
        mode: ``RGB`` or ``L``.
        max_megapixels: of the image as it was sent.
        least: length of the shorter side that is needed; a large JPEG may be decoded smaller. None decodes all pixels.

    Raises:
        UnprocessableInput: not an image, or a damaged one.
        PayloadTooLarge: more pixels than the limit; they are not decoded.
    """
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise PayloadTooLarge(f"The image has too many pixels; the limit is {max_megapixels:g} megapixels.") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise UnprocessableInput(f"Not an image that can be read; formats: {', '.join(FORMATS)}.") from error
    if image.width * image.height > max_megapixels * MEGA:
        raise PayloadTooLarge(f"The image has {image.width} x {image.height} pixels; the limit is {max_megapixels:g} megapixels.")
    sent = image.size
    try:
        if least is not None:
            _decode_small(image, least)
        is_sideways = image.getexif().get(ORIENTATION) in SIDEWAYS
        ImageOps.exif_transpose(image, in_place=True)
        upright = _in_mode(_flat(_eight_bits(image)), mode)
        return upright, sent[::-1] if is_sideways else sent
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnprocessableInput(f"The {image.format} image is damaged: {error}.") from error


def fit(image: Image.Image, options: ImageOptions) -> Image.Image:
    """The image in the network's size: stretched, or its centre where ``resize`` is given.

    Raises:
        PayloadTooLarge: it is so long for its width that ``resize`` would make more pixels of it than the options allow.
    """
    height, width = options.size
    resample = Image.Resampling[options.interpolation.upper()]
    if options.resize is None:
        return image.resize((width, height), resample)
    resized = tuple(int(options.resize * side / min(image.size)) for side in image.size)  # cut off, as torchvision does
    if resized[0] * resized[1] > options.max_megapixels * MEGA:
        raise PayloadTooLarge(
            f"The image has {image.width} x {image.height} pixels, resized {resized[0]} x {resized[1]}; "
            f"the limit is {options.max_megapixels:g} megapixels."
        )
    left, top = round((resized[0] - width) / 2), round((resized[1] - height) / 2)
    across, down = image.width / resized[0], image.height / resized[1]
    kept = (left * across, top * down, (left + width) * across, (top + height) * down)  # what is cut off is not resized
    return image.resize((width, height), resample, kept)


def to_tensor(image: Image.Image, options: ImageOptions) -> torch.Tensor:
    """float32, shape [channels, height, width], on the options' ground and normalised by their mean and std."""
    return normalised(on_ground(image, options), options)


def on_ground(image: Image.Image, options: ImageOptions) -> Image.Image:
    """The image, inverted where the options want a dark ground and its border is light."""
    return ImageOps.invert(image) if options.ground == "dark" and _border_is_light(image) else image


def normalised(image: Image.Image, options: ImageOptions) -> torch.Tensor:
    """float32, shape [channels, height, width], normalised by the options' mean and std."""
    pixels = torch.from_numpy(np.array(image))
    pixels = pixels.unsqueeze(0) if pixels.ndim == 2 else pixels.permute(2, 0, 1)
    mean, std = (torch.tensor(values).reshape(-1, 1, 1) for values in (options.mean, options.std))
    made = torch.empty(pixels.shape).copy_(pixels)  # as many floats as there are pixels, and no more of them
    return made.div_(255).sub_(mean).div_(std)


def _decode_small(image: Image.Image, least: int) -> None:
    """Let a JPEG be decoded at an eighth, a quarter or half of its size, where that still is twice what is needed.

    Where its sides are no multiples of eight, the last pixels stand for fewer than the others, and what is resized would
    be stretched; by more than SHIFT it may not be.
    """
    if image.format != "JPEG":
        return
    shorter = min(image.size)
    for scale in (8, 4, 2):
        shift = max(-side % scale for side in image.size) * least / shorter
        if shorter >= 2 * least * scale and shift <= SHIFT:
            image.draft(None, (image.width // scale, image.height // scale))
            return


def _eight_bits(image: Image.Image) -> Image.Image:
    """Sixteen bits a pixel brought to eight; Pillow's own conversion cuts off what is above 255."""
    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image, dtype=np.float32)
    narrow = (values / 257).clip(0, 255).astype(np.uint8)
    if "transparency" in image.info:
        narrow[values == image.info["transparency"]] = 255
    return Image.fromarray(narrow)


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    """The image in a colour mode; Pillow's conversion copies one that is in it already."""
    return image if image.mode == mode else image.convert(mode)


def _flat(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def _border_is_light(image: Image.Image) -> bool:
    inside = Image.new("L", image.size, 255)
    inside.paste(0, (1, 1, image.width - 1, image.height - 1))
    return ImageStat.Stat(image.convert("L"), inside).median[0] > 127
