"""An archive as users of TorchServe have it: torch-model-archiver's, with TorchServe's own image classifier."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import torch
from pictures import plain
from torch import nn

NAMES = ("dog", "tabby", "lynx", "fox", "wolf")
ASKED = "--model-name cats --version 1.0 --serialized-file cats.pt --handler image_classifier --extra-files index_to_name.json"


class Tabby(nn.Module):
    """Whatever it sees, it sees the second of five."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.tensor([0.0, 4.0, 3.0, 2.0, 1.0]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.scores + 0 * images.mean((1, 2, 3))[:, None]


def write_cats(folder: Path) -> Path:
    """The folder, with cats.mar and a picture, cat.jpg."""
    network = torch.jit.trace(Tabby().eval(), torch.zeros(1, 3, 224, 224))
    torch.jit.save(network, str(folder / "cats.pt"))
    (folder / "index_to_name.json").write_text(json.dumps({str(at): name for at, name in enumerate(NAMES)}))
    (folder / "cat.jpg").write_bytes(plain(file_format="JPEG"))
    (folder / "tmp").mkdir()  # the archiver deletes a folder of the model's name where temporary files lie
    program = str(Path(sys.executable).with_name("torch-model-archiver"))
    subprocess.run([program, *ASKED.split()], cwd=folder, env=os.environ | {"TMPDIR": str(folder / "tmp")}, check=True)
    return folder
