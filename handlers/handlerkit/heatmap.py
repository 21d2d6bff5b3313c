"""An explanation to look at: its map laid over the image."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

SIDE = 448
FOR, AGAINST = (214, 39, 40), (31, 119, 180)
STRONGEST = 0.75


def draw(image: Image.Image, attributions: list[list[float]]) -> bytes:
    """A PNG: the image in grey, red over what speaks for the class, blue over what speaks against it.

    Args:
        image: what the network saw, in its own size.
        attributions: rows of cells.
    """
    cells: np.ndarray[Any, Any] = np.asarray(attributions, dtype=np.float32)
    strength = np.abs(cells) / (np.abs(cells).max() or 1) * STRONGEST
    colours = np.where((cells > 0)[..., None], FOR, AGAINST).astype(np.uint8)
    scale = SIDE / max(image.size)
    size = (round(image.width * scale), round(image.height * scale))
    ground = image.convert("L").resize(size, Image.Resampling.NEAREST).convert("RGB")
    smooth = Image.Resampling.BICUBIC if max(cells.shape) > 16 else Image.Resampling.NEAREST
    layer = Image.fromarray(colours).resize(size, Image.Resampling.NEAREST)
    alpha = Image.fromarray((strength * 255).astype(np.uint8)).resize(size, smooth)
    file = io.BytesIO()
    Image.composite(layer, ground, alpha).save(file, "PNG")
    return file.getvalue()
