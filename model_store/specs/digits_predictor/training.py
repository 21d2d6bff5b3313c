"""Train the predictors' classifiers on scikit-learn's handwritten digits, drawn on pictures of many sizes and colours.

The data is the test part of the UCI set "Optical Recognition of Handwritten Digits": 1,797 images of 8 x 8 pixels with
17 levels of grey. It ships inside scikit-learn. Pictures are preprocessed by the network itself, one by one, so that the
classifier inside learns from what it will be given.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

SEED = 2026
DRAWN = 3  # pictures of each digit, each of another size and colour
EPOCHS = 12
ROWS = 64


class Preprocessing(Protocol):
    """A network of this spec: ``transforms`` takes uint8 of shape [1, 3, height, width], and gives what ``model`` takes."""

    model: nn.Module

    def transforms(self, images: torch.Tensor, /) -> torch.Tensor:
        """What comes before ``model``."""


def train(network: Preprocessing, progress: Callable[[int, int], None]) -> None:
    """Fit the classifier inside ``network``.

    Args:
        network: with ``transforms`` and ``model`` inside.
        progress: told the epochs done and the epochs in all.
    """
    images, labels = split()[::2]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a network this small gains nothing by more, and loses much on a machine that is busy
    inputs, targets = _preprocessed(network, images, labels)
    generator = torch.Generator().manual_seed(SEED)
    optimizer = torch.optim.AdamW(network.model.parameters(), lr=3e-3, weight_decay=1e-2)
    network.model.train()
    for epoch in range(EPOCHS):
        for rows in torch.randperm(len(inputs), generator=generator).split(ROWS):
            loss = nn.functional.cross_entropy(network.model(inputs[rows]), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        progress(epoch + 1, EPOCHS)
    torch.set_num_threads(threads)
    network.model.eval()


def held_out() -> Iterator[tuple[bytes, str]]:
    """Digits that training never sees, as PNG files of many sizes, each with its label."""
    _, images, _, labels = split()
    random = np.random.default_rng(SEED + 1)
    for image, label in zip(images, labels, strict=True):
        file = io.BytesIO()
        draw(image, random).save(file, "PNG")
        yield file.getvalue(), str(label)


def split() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training images, held-out images (one in five of each class), and their labels; images [n, 8, 8] in 0…1."""
    data = load_digits()
    images = (data.images / 16).astype(np.float32)
    parts = train_test_split(images, data.target, test_size=0.2, random_state=SEED, stratify=data.target)
    return parts[0], parts[1], parts[2], parts[3]


def draw(image: np.ndarray, random: np.random.Generator) -> Image.Image:
    """A digit in dark ink in the middle of light paper, which is up to half as long again as it is high, or as wide."""
    side = int(random.integers(48, 129))
    size = [side, side]
    size[random.integers(2)] += int(random.integers(side // 2))
    paper, ink = random.integers(170, 256, 3), random.integers(0, 80, 3)
    strokes = Image.fromarray((image * 255).round().astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    picture = Image.new("RGB", (size[0], size[1]), tuple(paper.tolist()))
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    picture.paste(tuple(ink.tolist()), (left, top, left + side, top + side), strokes)
    return picture


def _preprocessed(network: Preprocessing, images: np.ndarray, labels: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """What the network's ``transforms`` make of DRAWN pictures of each image, and their labels."""
    random = np.random.default_rng(SEED)
    pictures = [draw(image, random) for image in images for _ in range(DRAWN)]
    pixels = (torch.from_numpy(np.array(picture)).permute(2, 0, 1).unsqueeze(0) for picture in pictures)
    with torch.no_grad():
        return torch.cat([network.transforms(one) for one in pixels]), torch.from_numpy(labels).repeat_interleave(DRAWN)
