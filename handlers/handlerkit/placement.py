"""Where an image lies in the network's input, and how a box in that input gets back to the image that was sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from PIL import Image

from handlerkit.images import ImageOptions


@dataclass(frozen=True)
class PlacedOptions(ImageOptions):
    """How an image becomes a tensor without losing a part of it.

    Attributes:
        fit: ``stretch`` brings the whole image to ``size``; ``letterbox`` keeps its proportions and fills what is left.
        padding: grey level, from 0 to 255, of what a letterbox leaves free.
    """

    fit: Literal["stretch", "letterbox"] = "stretch"
    padding: int = 114

    def __post_init__(self) -> None:
        """Refuse values that could only fail at the first request."""
        super().__post_init__()
        if self.resize is not None:
            raise ValueError("resize cuts off an image's sides, and what is on them; use fit: letterbox or stretch")
        if self.fit not in ("stretch", "letterbox"):
            raise ValueError(f"fit must be stretch or letterbox, not {self.fit!r}")
        if type(self.padding) is not int or not 0 <= self.padding <= 255:
            raise ValueError(f"padding must be a whole number from 0 to 255, not {self.padding!r}")


@dataclass(frozen=True)
class Placement:
    """An image in the network's input.

    Attributes:
        sent: width and height of the image as it was sent, upright, in pixels.
        inside: left, top, right and bottom of the image in the network's input, in its pixels.
    """

    sent: tuple[int, int]
    inside: tuple[int, int, int, int]

    def to_image(self, boxes: torch.Tensor) -> torch.Tensor:
        """Boxes [n, 4] in pixels of the network's input as boxes in pixels of the image, cut off at its sides."""
        left, top, right, bottom = self.inside
        width, height = self.sent
        scale = torch.tensor([width / (right - left), height / (bottom - top)] * 2)
        found = (boxes - torch.tensor([left, top] * 2)) * scale
        return found.clamp(min=0).minimum(torch.tensor([width, height] * 2))


def place(image: Image.Image, sent: tuple[int, int], options: PlacedOptions) -> tuple[Image.Image, Placement]:
    """The network's input as an image, and where in it the image lies.

    Args:
        image: upright, perhaps decoded smaller than it was sent.
        sent: width and height of the image as it was sent, upright.
        options: what the network expects.
    """
    height, width = options.size
    resample = Image.Resampling[options.interpolation.upper()]
    if options.fit == "stretch":
        return image.resize((width, height), resample), Placement(sent, (0, 0, width, height))
    scale = min(width / sent[0], height / sent[1])
    inner = tuple(min(side, max(1, round(one * scale))) for side, one in zip((width, height), sent, strict=True))
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    canvas = Image.new(image.mode, (width, height), (options.padding,) * len(image.getbands()))
    canvas.paste(image.resize((inner[0], inner[1]), resample), (left, top))
    return canvas, Placement(sent, (left, top, left + inner[0], top + inner[1]))
