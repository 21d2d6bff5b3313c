"""Boxes drawn over an image, to look at."""

from __future__ import annotations

import io
from collections.abc import Iterable

from PIL import Image, ImageColor, ImageDraw, ImageFont

LEAST_SIDE, MOST_SIDE = 448, 1600
LETTERS = 16  # pixels
LINE = 3
Drawn = tuple[tuple[float, float, float, float], str, int]


def draw_boxes(image: Image.Image, sent: tuple[int, int], boxes: Iterable[Drawn]) -> bytes:
    """A PNG: the image, at least 448 pixels and at most 1600 on its longer side, with each box and what stands on it.

    Args:
        image: of any size.
        sent: width and height of the image whose pixels the boxes count.
        boxes: left, top, right and bottom; a text; and a number that stands for the colour.
    """
    longest = max(sent)
    scale = min(max(longest, LEAST_SIDE), MOST_SIDE) / longest
    size = (max(1, round(sent[0] * scale)), max(1, round(sent[1] * scale)))
    smooth = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BILINEAR
    canvas = image.convert("RGB").resize(size, smooth)
    pen = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(LETTERS)
    for box, text, number in sorted(boxes, key=lambda one: one[0][1], reverse=True):
        left, top, right, bottom = (side * scale for side in box)
        colour = ImageColor.getrgb(f"hsl({number * 137 % 360}, 85%, 42%)")  # neighbours in number, not in colour
        pen.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=colour, width=LINE)
        above = max(0.0, top - LETTERS - 4)
        width = pen.textlength(text, font=font) + 8
        from_left = max(0.0, min(left, size[0] - width))
        pen.rectangle((from_left, above, from_left + width, above + LETTERS + 4), fill=colour)
        pen.text((from_left + 4, above), text, fill="white", font=font)
    file = io.BytesIO()
    canvas.save(file, "PNG")
    return file.getvalue()
