"""A small model of a user's own, in a folder of its own: two classes, told by brightness, built in a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pictures import plain
from ruamel.yaml import YAML

NETWORK = """
import torch
from torch import nn


class Brightness(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, images):
        mean = images.mean((1, 2, 3)) * self.scale
        return torch.stack([0.5 - mean, mean - 0.5], dim=1)
"""

TRAINING = """
def train(network, progress):
    network.scale.data.fill_(1.0)
    progress(1, 1)


def held_out():
    yield open({light!r}, "rb").read(), "light"
    yield open({light!r}, "rb").read(), "dark"
"""

SPEC: dict[str, Any] = {
    "name": "brightness",
    "description": "Says whether an image is light or dark.",
    "handler": "image_classifier",
    "options": {"size": [4, 4], "mode": "L"},
    "input": [1, 4, 4],
    "labels": ["dark", "light"],
    "training": "training.py",
    "sample": {"request": "light.png", "label": "light"},
    "versions": {
        "1": {"source": {"network": "network.py"}, "runtime": "torchscript"},
        "2": {"source": {"network": "network.py"}, "runtime": "eager"},
    },
}


def write_model(folder: Path, files: dict[str, str] | None = None, /, **changes: Any) -> Path:
    """The folder of a spec like SPEC, with some of its keys, or of its files, as the test wants them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "light.png").write_bytes(plain("L", (9, 9), 255))
    written = {"network.py": NETWORK, "training.py": TRAINING.format(light=str(folder / "light.png"))} | (files or {})
    for name, text in written.items():
        (folder / name).write_text(text)
    with (folder / "model.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump(SPEC | changes, file)
    return folder
