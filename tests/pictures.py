"""Images to send, made where they are needed."""

from __future__ import annotations

import io
import struct
import zlib
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


def bomb() -> bytes:
    """A PNG of 400 megapixels in 50 kB."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(2501 * 20_000))) + chunk(b"IEND", b"")
    )
