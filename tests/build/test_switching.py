"""What torch-model-archiver was given becomes a spec, as docs/switching.md says."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from documents import blocks
from models import write_model
from scripts_of_ours import call_script
from torch import nn

from marina import paths
from marina.paths import Store
from marina.store.index import read_index

NOTHING = "def train(network, progress): progress(1, 1)\ndef held_out(): return []\n"


def versions(runtime: str) -> dict[str, Any]:
    return {"1": {"source": {"network": "network.py"}, "runtime": runtime}}


def test_a_state_dict_and_its_class_names_need_no_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """model.py, cats.pth and index_to_name.json are all that is there, and are enough."""
    names = {"0": ["n0", "dark"], "1": ["n1", "light"]}
    files = {"index_to_name.json": json.dumps(names)}
    torch.save({"scale": torch.tensor([2.0])}, tmp_path / "cats.pth")
    wanted = {"training": None, "labels": "index_to_name.json", "versions": versions("eager")}
    model = write_model(tmp_path / "model", files, **wanted)
    done = call_script(capsys, "build_mar", model, "--store", tmp_path / "store", "--weights", tmp_path / "cats.pth")
    assert done.code == 0, done.err
    entry = read_index(Store(tmp_path / "store")).models["brightness"]["1"]
    assert (entry.weights.source, entry.weights.name, entry.accuracy) == ("file", "cats.pth", None)
    with zipfile.ZipFile(tmp_path / "store" / "archives" / "brightness-1.mar") as archive:
        assert "n1" in archive.read("model-config.yaml").decode()


def test_a_torchscript_file_without_its_code_is_wrapped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The network.py of the document, with a path of one's own, and a training that has nothing to do."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    network[1].weight.data = torch.stack([-torch.ones(16), torch.ones(16)])
    network[1].bias.data = torch.tensor([8.0, -8.0])
    torch.jit.save(torch.jit.script(network.eval()), str(tmp_path / "cats.pt"))
    (code,) = blocks(paths.ROOT / "docs" / "switching.md", "python")
    files = {"network.py": code.replace("/models/cats.pt", str(tmp_path / "cats.pt")), "training.py": NOTHING}
    model = write_model(tmp_path / "model", files, versions=versions("torchscript"))
    done = call_script(capsys, "build_mar", model, "--store", tmp_path / "store")
    assert done.code == 0, done.err


def test_an_archive_in_the_stock_form_is_tried_like_any_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its sample's label is found in the object, and its accuracy is measured."""
    options = {"size": [4, 4], "mode": "L", "form": "stock"}
    model = write_model(tmp_path / "model", options=options, versions=versions("torchscript"))
    done = call_script(capsys, "build_mar", model, "--store", tmp_path / "store")
    assert done.code == 0, done.err
    assert "top1 0.500 on 2" in done.out
    wrong = write_model(
        tmp_path / "wrong", options=options, versions=versions("torchscript"), sample={"request": "light.png", "label": "dark"}
    )
    done = call_script(capsys, "build_mar", wrong, "--store", tmp_path / "store")
    assert "answers its sample with 'light'; the spec says 'dark'" in done.error
