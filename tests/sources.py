"""One small trained network, a reader of scikit-learn's digits, in every kind of file that a network arrives in."""

from __future__ import annotations

import linecache
import warnings
from pathlib import Path
from typing import Any

import torch
from models import write_model
from pictures import encoded
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import nn

NETWORK = """
from torch import nn


class Reader(nn.Module):
    def __init__(self, hidden, steepness=1.0):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10))
        self.steepness = steepness
        self.class_names = list("0123456789")

    def forward(self, images):
        return self.steepness * self.layers(images)
"""
LIGHTNING = """
import torch
from lightning import LightningModule
from torch import nn


class Trained(LightningModule):
    def __init__(self, hidden, learning_rate=0.1):
        super().__init__()
        self.save_hyperparameters()
        self.reader = nn.Sequential(nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10))
        self.example_input_array = torch.ones(2, 1, 8, 8)

    def forward(self, images):
        return self.reader(images)
"""
PLAIN = """
from torch import nn


class Plain(nn.Sequential):
    def __init__(self, hidden):
        super().__init__(nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10))
"""
TRAINING = """
from pathlib import Path


def held_out():
    for path in sorted((Path(__file__).parent / "held_out").iterdir()):
        yield path.read_bytes(), path.name[0]
"""
HIDDEN = 24
HELD_OUT = 120
ARGUMENTS = {"hidden": HIDDEN}
SOURCES: dict[str, dict[str, Any]] = {
    "state dict": {"network": "network.py", "weights": "weights.pt", "arguments": ARGUMENTS},
    "safetensors": {"network": "network.py", "weights": "weights.safetensors", "arguments": ARGUMENTS},
    "checkpoint of Lightning": {"network": "trained.py", "checkpoint": "last.ckpt"},
    "checkpoint, without Lightning": {"network": "plain.py", "checkpoint": "last.ckpt", "prefix": "reader."},
    "TorchScript, traced": {"torchscript": "traced.pt"},
    "TorchScript, scripted": {"torchscript": "scripted.pt"},
    "ONNX": {"onnx": "digits.onnx"},
    "torch.export": {"export": "digits.pt2"},
}


def class_of(code: str) -> Any:
    """The one network that code defines."""
    namespace: dict[str, Any] = {"__name__": "network"}
    file = f"<network {hash(code)}>"
    linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)  # torch.jit.script reads it
    exec(compile(code, file, "exec"), namespace)  # noqa: S102 - our own
    return next(one for one in namespace.values() if isinstance(one, type) and one.__module__ == "network")


def trained() -> nn.Module:
    """The network, fitted to nine in ten of the digits but the held-out ones."""
    images, labels = digits()
    torch.manual_seed(0)
    network: nn.Module = class_of(NETWORK)(HIDDEN)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(120):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images[HELD_OUT:]), labels[HELD_OUT:]).backward()
        optimizer.step()
    return network.eval()


def write_digits(folder: Path, versions: dict[str, dict[str, Any]], **changes: Any) -> Path:
    """The folder of a spec of the digits with these versions, without any network's file."""
    folder.mkdir(parents=True)
    images, labels = digits()
    (folder / "held_out").mkdir()
    for number in range(HELD_OUT):
        (folder / "held_out" / f"{labels[number]}-{number:03}.png").write_bytes(
            encoded(Image.fromarray((images[number, 0] * 255).byte().numpy()))
        )
    (folder / "digit.png").write_bytes((folder / "held_out" / "0-000.png").read_bytes())
    files = {"network.py": NETWORK, "trained.py": LIGHTNING, "plain.py": PLAIN, "training.py": TRAINING}
    settings: dict[str, Any] = {
        "name": "reader",
        "options": {"size": [8, 8], "mode": "L"},
        "input": [1, 8, 8],
        "labels": list("0123456789"),
        "sample": {"request": "digit.png", "label": "0"},
        "versions": versions,
    }
    return write_model(folder, files, **settings | changes)


def write_files(folder: Path, network: nn.Module) -> None:
    """The network in every kind of file, in a folder."""
    example = torch.rand(2, 1, 8, 8)
    torch.save(network.state_dict(), folder / "weights.pt")
    save_file(network.state_dict(), folder / "weights.safetensors")
    save_checkpoint(folder / "last.ckpt", network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(network, example), str(folder / "traced.pt"))
        torch.jit.save(torch.jit.script(network), str(folder / "scripted.pt"))
        axes = {"pixels": {0: "rows"}}
        torch.onnx.export(
            network, (example,), str(folder / "digits.onnx"), input_names=["pixels"], dynamic_axes=axes, dynamo=False
        )
    rows = torch.export.Dim("rows")
    torch.export.save(torch.export.export(network, (example,), dynamic_shapes=({0: rows},)), folder / "digits.pt2")


def save_checkpoint(path: Path, network: nn.Module, code: str = LIGHTNING, **arguments: Any) -> None:
    """What a Trainer saves of a LightningModule with the network's weights."""
    from lightning import Trainer

    module = class_of(code)(**ARGUMENTS | arguments)
    module.load_state_dict({key.replace("layers.", "reader."): value for key, value in network.state_dict().items()})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
        trainer.strategy.connect(module)
        trainer.save_checkpoint(path)


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Images [1797, 1, 8, 8] in 0…1, and their digits."""
    data = load_digits()
    return torch.from_numpy(data.images).float()[:, None] / 16, torch.from_numpy(data.target)
