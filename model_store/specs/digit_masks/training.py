"""Train the network of digit_masks on scikit-learn's handwritten digits, pasted on canvases, from a fixed seed.

A canvas has a ground of its own, a gradient with noise, and digits of two to four times the size in which they were
scanned; its mask has a digit's class where the digit's strokes are. No digit of a held-out canvas is trained on.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

SEED = 2026
SIDE = 64
SMALLEST, LARGEST = 16, 32  # sides of a pasted digit
MOST = 6  # digits that are tried on a canvas; those without room are left out
STROKE = 0.35  # least ink that belongs to a digit
CANVASES = {"training": 4000, "held_out": 150}
EPOCHS = 3
ROWS = 16
CLASSES = 11
Canvas = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


def train(network: nn.Module, progress: Callable[[int, int], None]) -> None:
    """Fit ``network`` to canvases with the training digits.

    Args:
        network: takes float32 of shape [rows, 1, 64, 64] between 0 and 1, gives scores of shape [rows, 11, 32, 32].
        progress: told the epochs done and the epochs in all.
    """
    made = list(canvases("training"))
    images = torch.from_numpy(np.stack([image for image, _ in made]))[:, None].float() / 255
    masks = torch.from_numpy(np.stack([mask for _, mask in made])).long()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small a network waits for its threads
    torch.manual_seed(SEED)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-2)
    steps = EPOCHS * -(-len(images) // ROWS)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 8e-3, total_steps=steps)
    network.train()
    for epoch in range(EPOCHS):
        for rows in torch.randperm(len(images)).split(ROWS):
            scores = nn.functional.interpolate(network(images[rows]), size=(SIDE, SIDE), mode="bilinear")
            loss = nn.functional.cross_entropy(scores, masks[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        progress(epoch + 1, EPOCHS)
    torch.set_num_threads(threads)
    network.eval()


def held_out() -> Iterator[tuple[bytes, dict[str, list[int]]]]:
    """Canvases with digits that training never sees, as PNG files of 64 x 64 pixels, each with its mask's runs."""
    for picture, mask in canvases("held_out"):
        flat = mask.ravel()
        starts = np.flatnonzero(np.diff(flat, prepend=255))
        yield png(picture), {"values": flat[starts].tolist(), "lengths": np.diff(starts, append=flat.size).tolist()}


def measure(pairs: list[tuple[dict[str, list[int]], dict[str, Any]]]) -> tuple[str, float]:
    """The mean over the classes of intersection over union, each over the pixels of all canvases together."""
    expected, found = (
        np.concatenate([np.repeat(one["values"], one["lengths"]) for one in part])
        for part in ([one for one, _ in pairs], [answer["mask"] for _, answer in pairs])
    )
    both = np.bincount(expected[expected == found], minlength=CLASSES)
    either = np.bincount(expected, minlength=CLASSES) + np.bincount(found, minlength=CLASSES) - both
    return "mIoU", float((both / either).mean())


def png(picture: np.ndarray[Any, Any]) -> bytes:
    """A picture, uint8 [height, width], as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


@cache
def digits() -> dict[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    """Images [n, 8, 8] in 0…1 and labels of the digits to train on, and of those held out: one in five of each class."""
    data = load_digits()
    parts = train_test_split(data.images / 16, data.target, test_size=0.2, random_state=SEED, stratify=data.target)
    return {"training": (parts[0], parts[2]), "held_out": (parts[1], parts[3])}


def canvases(part: str) -> Iterator[Canvas]:
    """Canvases with the digits of one part, the same each time."""
    images, labels = digits()[part]
    generator = np.random.default_rng([SEED, len(images)])
    for _ in range(CANVASES[part]):
        yield canvas(images, labels, generator)


def canvas(images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], generator: np.random.Generator) -> Canvas:
    """A picture, uint8 [64, 64], and its mask of the same shape: 0 for the ground, 1 + the digit on its strokes."""
    picture, mask = _ground(generator), np.zeros((SIDE, SIDE), np.uint8)
    taken = np.zeros((SIDE, SIDE), bool)
    for _ in range(generator.integers(1, MOST + 1)):
        chosen = generator.integers(len(images))
        side = int(generator.integers(SMALLEST, LARGEST + 1))
        top, left = generator.integers(0, SIDE - side + 1, 2)
        place = np.s_[top : top + side, left : left + side]
        if taken[place].any():
            continue
        taken[place] = True
        ink = _enlarged(images[chosen], side)
        picture[place] += ink * (1 - picture[place]) * generator.uniform(0.7, 1)
        mask[place][ink > STROKE] = 1 + labels[chosen]
    noisy = picture + generator.normal(0, generator.uniform(0, 0.08), picture.shape)
    return (noisy.clip(0, 1) * 255).round().astype(np.uint8), mask


def _ground(generator: np.random.Generator) -> np.ndarray[Any, Any]:
    """A gradient between two dark shades, in any direction."""
    angle = generator.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] / SIDE - 0.5
    along = rows * np.sin(angle) + columns * np.cos(angle) + 0.5
    first, second = generator.uniform(0, 0.4, 2)
    gradient: np.ndarray[Any, Any] = first + (second - first) * along
    return gradient


def _enlarged(digit: np.ndarray[Any, Any], side: int) -> np.ndarray[Any, Any]:
    picture = Image.fromarray((digit * 255).round().astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(picture) / 255
