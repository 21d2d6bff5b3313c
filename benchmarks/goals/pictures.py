"""Pictures that the benchmarks send: JPEG files of a size that is asked for, the same ones on every machine."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

QUALITY = 90
SEARCHED = 10  # halvings of the noise's range
STRONGEST = 60.0
SMALL, LARGE = (640, 480), (4000, 3000)  # width and height, in pixels
SMALL_BYTES, LARGE_BYTES = 65_000, 3_500_000
SEED = 2026


def photograph(folder: Path, size: tuple[int, int] = SMALL, wanted_bytes: int = SMALL_BYTES, seed: int = SEED) -> bytes:
    """A drawn scene with as much noise as makes the file as large as a camera's would be; kept in the folder.

    Args:
        folder: where it is kept, since the search for the noise takes seconds for a large one.
        size: width and height, in pixels.
        wanted_bytes: of the file, met within a few percent.
        seed: another one gives another picture.
    """
    path = folder / f"{size[0]}x{size[1]}-{wanted_bytes}-{seed}.jpg"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_drawn(size, wanted_bytes, seed))
    return path.read_bytes()


def with_one_bad(content: bytes, count: int = 100) -> Sequence[bytes]:
    """So many requests, all of them the picture but one, which is no picture."""
    return [*[content] * (count - 1), b"no picture " * 100]


def _drawn(size: tuple[int, int], wanted_bytes: int, seed: int) -> bytes:
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (9, 12, 3), np.uint8))
    scene = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), np.float32)
    noise = random.standard_normal((size[1], size[0], 1), np.float32)
    weakest, strongest, found = 0.0, STRONGEST, b""
    for _ in range(SEARCHED):
        strength = (weakest + strongest) / 2
        found = _encoded(scene + noise * strength)
        weakest, strongest = (strength, strongest) if len(found) < wanted_bytes else (weakest, strength)
    return found


def _encoded(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
