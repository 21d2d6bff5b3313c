"""Images as they are, for networks that have their preprocessing inside: pixels of an image's own size, and no more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from handlerkit.choice import Form, check_choice
from handlerkit.errors import UnprocessableInput
from handlerkit.images import CHANNELS, decode
from handlerkit.runtimes import Runtime

SMALLER = 3 / 4
NEAR_ONE = 0.02  # bf16 has three digits


@dataclass(frozen=True)
class PixelOptions:
    """What the network is handed, and how many classes are answered.

    Attributes:
        size: height and width of an image that the network is tried with at load; requests have sizes of their own.
        mode: ``RGB`` (three channels) or ``L`` (grey, one channel).
        softmax: whether the network gives scores that are still to be made probabilities.
        max_megapixels: of an image; larger ones are refused before they are decoded.
        max_ratio: of an image's longer side to its shorter one. A network that brings the shorter side to a size of its own
            would make of a line of pixels more than fits into memory.
        top_k: how many classes an answer lists.
        threshold: least probability of a class that an answer lists.
        form: of an answer: ``marina``, or ``stock`` as TorchServe's own handlers have it, an object of probabilities by label.
    """

    size: tuple[int, int] = (224, 224)
    mode: Literal["RGB", "L"] = "RGB"
    softmax: bool = False
    max_megapixels: float = 25
    max_ratio: float = 50
    top_k: int = 5
    threshold: float = 0.0
    form: Form = "marina"

    def __post_init__(self) -> None:
        """Refuse values that could only fail at the first request."""
        if self.mode not in CHANNELS:
            raise ValueError(f"mode must be RGB or L, not {self.mode!r}")
        if len(self.size) != 2 or not all(type(side) is int and side > 3 for side in self.size):
            raise ValueError(f"size must be [height, width] of at least 4 pixels each, not {list(self.size)}")
        if type(self.softmax) is not bool:
            raise ValueError(f"softmax must be true or false, not {self.softmax!r}")
        if self.max_megapixels <= 0 or self.max_ratio < 1:
            raise ValueError("max_megapixels must be above 0, max_ratio at least 1")
        check_choice(self)

    def examples(self) -> Iterator[torch.Tensor]:
        """Images to try the network with: two of ``size``, one that is flatter and one that is narrower."""
        (height, width), channels = self.size, CHANNELS[self.mode]
        for rows, high, wide in ((2, height, width), (1, int(height * SMALLER), width), (1, height, int(width * SMALLER))):
            ramp = torch.arange(rows * channels * high * wide) % 256
            yield ramp.to(torch.uint8).reshape(rows, channels, high, wide)


def read_pixels(content: bytes, options: PixelOptions) -> torch.Tensor:
    """An image in its own size, upright, transparency on white: uint8, shape [channels, height, width].

    Raises:
        UnprocessableInput: not an image, a damaged one, or one too long for its width.
        PayloadTooLarge: more pixels than the options allow.
    """
    image = decode(content, options.mode, options.max_megapixels)
    if max(image.size) > options.max_ratio * min(image.size):
        raise UnprocessableInput(
            f"The image has {image.width} x {image.height} pixels; one side may be at most {options.max_ratio:g} times the other."
        )
    pixels = torch.from_numpy(np.array(image))
    return pixels.unsqueeze(0) if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()


def picture_of(pixels: torch.Tensor) -> Image.Image:
    """The image that ``read_pixels`` has read."""
    return Image.fromarray(pixels.squeeze(0).numpy() if len(pixels) == 1 else pixels.permute(1, 2, 0).numpy())


def check_scores(scores: Any, images: torch.Tensor, softmax: bool) -> int:
    """How many classes a network's output for some images has.

    Raises:
        ValueError: it is not [rows, classes], or was to be probabilities and is none.
    """
    if not isinstance(scores, torch.Tensor) or scores.ndim != 2 or len(scores) != len(images):
        raise ValueError("the network must give one output, a score for each class: shape [rows, classes]")
    sums = scores.float().sum(1)
    if not softmax and (bool((scores < 0).any()) or not torch.allclose(sums, torch.ones_like(sums), atol=NEAR_ONE)):
        raise ValueError("softmax: the network's outputs are no probabilities; set softmax to true if they are scores")
    return int(scores.shape[1])


def sizes_apart(images: Sequence[torch.Tensor]) -> list[list[int]]:
    """Places of the images of each size: together they can be stacked."""
    places: dict[torch.Size, list[int]] = {}
    for place, image in enumerate(images):
        places.setdefault(image.shape, []).append(place)
    return list(places.values())


class PixelRuntime:
    """A network of whole pixels as explanations see it: images of floating numbers from 0 to 255, and no gradients."""

    differentiable = False

    def __init__(self, runtime: Runtime) -> None:
        """Take the runtime that runs the network."""
        self.model = runtime.model
        self._runtime = runtime

    def run(self, *images: torch.Tensor) -> Any:
        """The network's output; the images are rounded to whole numbers."""
        return self._runtime.run(*(one.round().clamp(0, 255).to(torch.uint8) for one in images))

    __call__ = run
