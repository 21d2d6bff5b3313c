"""Images to send, made where they are needed."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image


def encoded(image: Image.Image, file_format: str = "PNG", **options: Any) -> bytes:
    """An image as the bytes of a file."""
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def plain(mode: str = "RGB", size: tuple[int, int] = (20, 10), color: Any = 128, file_format: str = "PNG") -> bytes:
    """An image of one colour, as the bytes of a file."""
    return encoded(Image.new(mode, size, color), file_format)
