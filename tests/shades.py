"""A small real classifier that is trained in a second: dark or light, with a folder of images, for what rounds its numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models import write_model
from PIL import Image

NETWORK = """
from torch import nn


class Shades(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(128, 16), nn.ReLU(),
            nn.Linear(16, 2),
        )
"""
TRAINING = """
import io

import torch
from PIL import Image


def train(network, progress):
    torch.manual_seed(1)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(80):
        shades = torch.rand(64)
        images = shades[:, None, None, None] + 0.05 * torch.randn(64, 3, 16, 16)
        loss = torch.nn.functional.cross_entropy(network(images), (shades > 0.5).long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    progress(1, 1)


def png(value):
    file = io.BytesIO()
    Image.new("RGB", (20, 20), (value, value, value)).save(file, "PNG")
    return file.getvalue()


def held_out():
    for value in (*range(1, 100, 5), *range(155, 255, 5)):
        yield png(value), "dark" if value < 128 else "light"
"""
FILES = {"network.py": NETWORK, "training.py": TRAINING}
MODEL: dict[str, Any] = {
    "options": {"size": [16, 16]},
    "input": [3, 16, 16],
    "labels": ["dark", "light"],
    "sample": {"request": "light.png"},
}
INT8 = {"1": {"source": {"network": "network.py"}, "runtime": "openvino", "precision": "int8"}}


def write_shades(folder: Path, files: dict[str, str] | None = None, /, **changes: Any) -> Path:
    """A small real classifier with a folder of images to calibrate on."""
    model = write_model(folder, FILES | (files or {}), **MODEL | {"versions": INT8} | changes)
    (model / "shades").mkdir(exist_ok=True)
    for value in range(0, 256, 10):
        Image.new("RGB", (20, 20), (value, value, value)).save(model / "shades" / f"{value:03}.png")
    return model
