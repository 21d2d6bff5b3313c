"""Train the digits' networks on scikit-learn's handwritten digits, on a fixed split from a fixed seed.

The data is the test part of the UCI set "Optical Recognition of Handwritten Digits": 1,797 images of 8 x 8 pixels
with 17 levels of grey, light strokes on a dark ground. It ships inside scikit-learn.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

SEED = 2026
EPOCHS = 40
ROWS = 64
SIDE = 160
CALIBRATED = 300


def train(network: nn.Module, progress: Callable[[int, int], None]) -> None:
    """Fit ``network`` to the training images, each shifted by up to a pixel and a little brighter or darker.

    Args:
        network: takes float32 of shape [rows, 1, 8, 8] between 0 and 1, gives scores of shape [rows, 10].
        progress: told the epochs done and the epochs in all.
    """
    images, labels = (torch.from_numpy(part) for part in split()[::2])
    generator = torch.Generator().manual_seed(SEED)
    torch.manual_seed(SEED)
    torch.set_num_threads(1)  # a network this small gains nothing by more, and loses much on a machine that is busy
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=EPOCHS * -(-len(images) // ROWS))
    network.train()
    for epoch in range(EPOCHS):
        for rows in torch.randperm(len(images), generator=generator).split(ROWS):
            loss = nn.functional.cross_entropy(network(_varied(images[rows], generator)), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        progress(epoch + 1, EPOCHS)
    network.eval()


def held_out() -> Iterator[tuple[bytes, str]]:
    """The images that training never sees, as PNG files of 160 x 160 pixels, each with its label."""
    _, images, _, labels = split()
    for image, label in zip(images, labels, strict=True):
        yield png(image[0]), str(label)


def calibration() -> Iterator[bytes]:
    """The first training images as PNG files, for versions in int8."""
    for image in split()[0][:CALIBRATED]:
        yield png(image[0])


def split() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training images, held-out images (one in five of each class), and their labels; images [n, 1, 8, 8] in 0…1."""
    data = load_digits()
    images = (data.images / 16).astype(np.float32)[:, None]
    parts = train_test_split(images, data.target, test_size=0.2, random_state=SEED, stratify=data.target)
    return parts[0], parts[1], parts[2], parts[3]


def png(image: np.ndarray, side: int = SIDE) -> bytes:
    """An image of values 0…1 as a PNG file, enlarged without smoothing."""
    picture = Image.fromarray((image * 255).round().astype(np.uint8)).resize((side, side), Image.Resampling.NEAREST)
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _varied(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    shift = torch.randint(-1, 2, (2,), generator=generator).tolist()
    shifted = nn.functional.pad(images, (1, 1, 1, 1)).roll(shift, dims=(2, 3))[:, :, 1:-1, 1:-1]
    gain = 0.8 + 0.4 * torch.rand(len(images), 1, 1, 1, generator=generator)
    return (shifted * gain).clamp(0, 1)
