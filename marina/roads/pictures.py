"""How the handlers of images read one, as a network: what goes into an exported file where preprocessing is wanted inside.

Resizing is Pillow's own arithmetic (https://github.com/python-pillow/Pillow/blob/13.0.0/src/libImaging/Resample.c): for each
axis a matrix of coefficients in 1/2**22, sums of whole numbers, rounded to eight bits. Where Pillow does the columns before
the rows, as it does for some shapes, a pixel may be another by 1 of 255.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import torch
from pydantic import BaseModel, ConfigDict
from torch import nn

from marina.errors import UsageError
from marina.store.spec import FILE_NAME, SpecFile, TensorSpec

Function = TypeVar("Function", bound=Callable[..., Any])
HANDLERS = ("image_classifier", "lightning_module")
CHANNELS = {"RGB": 3, "L": 1}
EXAMPLE = (96, 128)  # height and width of the picture that an export is made with; it then takes any
RED, GREEN, BLUE = 19595, 38470, 7471  # in 1/65536, as Pillow makes a colour grey


class Pictures(BaseModel):
    """Those of a handler's options that say how an image becomes a tensor: handlerkit.images.ImageOptions has their meaning."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    size: tuple[int, int] = (224, 224)
    mode: Literal["RGB", "L"] = "RGB"
    resize: int | None = None
    interpolation: Literal["bilinear", "bicubic", "box"] = "bilinear"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    ground: Literal["dark"] | None = None

    @property
    def pixels(self) -> TensorSpec:
        """What the network takes with this inside: pixels of any size."""
        return TensorSpec(shape=[CHANNELS[self.mode], *EXAMPLE], dtype="uint8", free=[1, 2])


def pictures_of(found: SpecFile) -> Pictures:
    """How a spec's handler reads images.

    Raises:
        UsageError: its handler does not, or in another way.
    """
    if found.spec.handler not in HANDLERS:
        raise UsageError(
            f"{found.folder / FILE_NAME}: preprocessing can be put into a network for the handlers {' and '.join(HANDLERS)}; "
            f"this one has {found.spec.handler}: leave --with-preprocessing out"
        )
    return Pictures(**found.spec.options)


class Reading(nn.Module):
    """Pixels to the network's input: uint8, shape [rows, channels, height, width], to float32, [rows, channels, *size]."""

    def __init__(self, options: Pictures) -> None:
        super().__init__()
        self.size, self.resize, self.interpolation = options.size, options.resize, options.interpolation
        self.dark, self.coloured = options.ground == "dark", options.mode == "RGB"
        self.sides = 2 * (options.size[0] + options.size[1] - 2)  # pixels of a border
        self.register_buffer("mean", torch.tensor(options.mean).reshape(-1, 1, 1))
        self.register_buffer("std", torch.tensor(options.std).reshape(-1, 1, 1))

    mean: torch.Tensor
    std: torch.Tensor

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """See the class."""
        fitted = _fitted(pixels, self.size[0], self.size[1], self.resize or 0, self.interpolation)
        if self.dark:
            fitted = torch.where(self._border_is_light(fitted), 255.0 - fitted, fitted)
        scaled = fitted.to(torch.float32) / 255
        normalised: torch.Tensor = (scaled - self.mean) / self.std
        return normalised

    def _border_is_light(self, pixels: torch.Tensor) -> torch.Tensor:
        """Whether the median of an image's border is above 127: shape [rows, 1, 1, 1]."""
        grey = pixels
        if self.coloured:
            red, green, blue = pixels[:, 0:1], pixels[:, 1:2], pixels[:, 2:3]
            grey = torch.floor((red * RED + green * GREEN + blue * BLUE + 32768) / 65536)
        sides = (grey[:, 0, 0, :], grey[:, 0, -1, :], grey[:, 0, 1:-1, 0], grey[:, 0, 1:-1, -1])
        upper = torch.topk(torch.cat(sides, 1).to(torch.float32), self.sides - self.sides // 2, dim=1).values
        return (upper[:, -1] > 127).reshape(-1, 1, 1, 1)


class FromPixels(nn.Module):
    """A network behind the reading of its images."""

    def __init__(self, reading: Reading, network: nn.Module) -> None:
        super().__init__()
        self.reading, self.network = reading, network
        self.training = False

    def forward(self, pixels: torch.Tensor) -> object:
        """What the network makes of the images."""
        return self.network(self.reading(pixels))


def read_picture(path: Path, options: Pictures) -> torch.Tensor:
    """A picture of a spec as it goes into ``Reading``: uint8, shape [1, channels, height, width]."""
    import numpy as np
    from PIL import Image

    with Image.open(path) as image:
        pixels = torch.from_numpy(np.array(image.convert(options.mode)))
    return pixels.reshape(1, *pixels.shape[:2], CHANNELS[options.mode]).permute(0, 3, 1, 2).contiguous()


def _scripted_in_traces(function: Function) -> Function:
    """The function as it is; in a trace scripted, so that it asks each image for its size."""
    return cast("Function", torch.jit.script_if_tracing(function))


@_scripted_in_traces
def _fitted(pixels: torch.Tensor, height: int, width: int, resize: int, interpolation: str) -> torch.Tensor:
    """Stretched to the size, or, with ``resize``, its shorter side brought to that and the centre cut out."""
    found_height, found_width = pixels.size(2), pixels.size(3)
    if resize == 0:
        return _resized(pixels, height, width, interpolation)
    shorter = min(found_height, found_width)
    high, wide = resize * found_height // shorter, resize * found_width // shorter
    resized = _resized(pixels, high, wide, interpolation)
    top, left = _half_even(high - height), _half_even(wide - width)
    return resized[:, :, top : top + height, left : left + width]


@_scripted_in_traces
def _half_even(difference: int) -> int:
    """Half of it, rounded as Python rounds."""
    half = difference // 2
    return half + (difference % 2) * (half % 2)


@_scripted_in_traces
def _resized(pixels: torch.Tensor, height: int, width: int, interpolation: str) -> torch.Tensor:
    rows = _along(pixels.to(torch.float64), _coefficients(pixels.size(3), width, interpolation))
    return _along(rows.transpose(2, 3), _coefficients(pixels.size(2), height, interpolation)).transpose(2, 3)


@_scripted_in_traces
def _along(values: torch.Tensor, coefficients: torch.Tensor) -> torch.Tensor:
    return torch.clamp(torch.floor((torch.matmul(values, coefficients) + 2097152.0) / 4194304.0), 0.0, 255.0)


@_scripted_in_traces
def _coefficients(found: int, wanted: int, interpolation: str) -> torch.Tensor:
    """How much each pixel counts for each one wanted, in 1/2**22: shape [found, wanted]."""
    scale = torch.scalar_tensor(found, dtype=torch.float64) / wanted
    wide = torch.clamp(scale, min=1.0)
    reach = wide * (0.5 if interpolation == "box" else 1.0 if interpolation == "bilinear" else 2.0)
    centre = (torch.arange(wanted, dtype=torch.float64) + 0.5) * scale
    place = torch.arange(found, dtype=torch.float64).unsqueeze(1)
    first, last = torch.floor(torch.clamp(centre - reach + 0.5, min=0.0)), torch.floor(centre + reach + 0.5)
    inside = (place >= first) & (place < last)
    weights = _weights((place - centre + 0.5) * (1.0 / wide), interpolation) * inside.to(torch.float64)
    fine = weights / weights.sum(0, keepdim=True) * 4194304.0
    return torch.where(fine < 0, torch.ceil(fine - 0.5), torch.floor(fine + 0.5))


@_scripted_in_traces
def _weights(distance: torch.Tensor, interpolation: str) -> torch.Tensor:
    """What a pixel counts by its distance from the centre of the one wanted."""
    if interpolation == "box":
        return ((distance > -0.5) & (distance <= 0.5)).to(torch.float64)
    away = distance.abs()
    if interpolation == "bilinear":
        return torch.clamp(1.0 - away, min=0.0)
    near = (1.5 * away - 2.5) * away * away + 1.0
    far = (((away - 5.0) * away + 8.0) * away - 4.0) * -0.5
    return torch.where(away < 1.0, near, torch.where(away < 2.0, far, torch.zeros_like(away)))
