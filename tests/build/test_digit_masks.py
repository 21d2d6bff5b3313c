"""The spec digit_masks, trained and built as it is shipped, and a segmentation network of torchvision."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from handlerkit.masks import MaskOptions
from handlerkit.options import read_options
from PIL import Image
from ruamel.yaml import YAML
from scripts_of_ours import Ended, call_script, run_script

from marina import paths
from marina.paths import Store
from marina.store.sources import load_module
from marina.store.spec import find_spec


def built(capsys: pytest.CaptureFixture[str], folder: Path, *arguments: str | Path) -> list[dict[str, Any]]:
    """The index's entries of what was built."""
    done = build(capsys, folder, *arguments, "--json")
    assert done.code == 0, done.err
    entries: list[dict[str, Any]] = json.loads(done.out)
    return entries


def build(capsys: pytest.CaptureFixture[str], folder: Path, *arguments: str | Path) -> Ended:
    return call_script(capsys, "build_mar", *arguments, "--store", folder / "store")


def test_digit_masks_is_built_in_both_versions(specs_store: Store) -> None:
    """TorchScript and OpenVINO find the pixels of held-out digits, and as the eager network does.

    Over the eleven classes the mean of intersection over union is 0.85 where it was measured. Both are the same network:
    it is trained once.
    """
    done = run_script("build_mar", "digit_masks", "--store", specs_store.folder, "--json")
    assert done.code == 0, done.err
    first, second = json.loads(done.out)
    assert [(one["version"], one["runtime"]) for one in (first, second)] == [("1", "torchscript"), ("2", "openvino")]
    assert first["weights"] == second["weights"]
    for one in (first, second):
        assert (one["accuracy"]["metric"], one["accuracy"]["requests"]) == ("mIoU", 150)
        assert one["accuracy"]["value"] > 0.75
        assert one["parity"]["largest_difference"] <= one["parity"]["tolerance"] == 1e-4


def test_the_options_of_digit_masks_fit_its_training() -> None:
    """The network sees requests in the size in which it was trained, and the labels are the masks'."""
    found = find_spec("digit_masks")
    options = read_options(MaskOptions, found.spec.options)
    training = load_module(found.beside("training.py"))
    assert options.size == (training.SIDE, training.SIDE)
    assert [one.shape for one in found.spec.tensors.values()] == [[1, *options.size]]
    assert found.spec.labels == ["ground", *map(str, range(training.CLASSES - 1))]


def test_no_digit_is_both_trained_on_and_held_out() -> None:
    """Canvases of the two parts are made of different digits, and are the same each time."""
    training = load_module(find_spec("digit_masks").beside("training.py"))
    known, held_out = ({image.tobytes() for image in training.digits()[part][0]} for part in ("training", "held_out"))
    assert not known & held_out
    assert next(training.held_out()) == next(training.held_out())


def test_a_held_out_mask_has_what_its_canvas_shows() -> None:
    """Runs cover the canvas, and strokes are lighter than what surrounds them."""
    training = load_module(find_spec("digit_masks").beside("training.py"))
    requests = list(training.held_out())
    assert len(requests) == 150
    for request, expected in requests[:20]:
        picture = np.asarray(Image.open(io.BytesIO(request)))
        mask = np.repeat(expected["values"], expected["lengths"]).reshape(picture.shape)
        assert picture[mask > 0].mean() > picture[mask == 0].mean() + 50


def test_the_measure_is_the_mean_over_classes_of_all_canvases_together() -> None:
    """Counted by hand: of the ground 1 of 2 pixels, of one digit 2 of 3, of one missed 0 of 1, of the others all."""
    training = load_module(find_spec("digit_masks").beside("training.py"))
    right = {"values": list(range(11)), "lengths": [1, 1, 1, *[1] * 8]}
    wrong = {"values": [1, *range(1, 11)], "lengths": [1, 1, 1, *[1] * 8]}
    name, value = training.measure([(right, {"mask": right}), (right, {"mask": wrong})])
    assert name == "mIoU"
    assert value == pytest.approx((1 / 2 + 2 / 3 + 9) / 11)


def test_a_segmentation_network_of_torchvision_is_built(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is fetched, its labels are those of the weights, and its scores are those of the eager network.

    At 64 pixels, which takes a tenth of the time.
    """
    folder = tmp_path / "lraspp"
    shutil.copytree(paths.SPECS / "lraspp-voc", folder)
    _change(folder, options={"size": [64, 64], "keep_aspect": True}, input=[3, 64, 64])
    (entry,) = built(capsys, tmp_path, folder, "--random-weights")
    assert entry["parity"]["largest_difference"] <= 1e-4
    assert entry["weights"]["source"] == "random"
    with zipfile.ZipFile(tmp_path / "store" / "archives" / entry["archive"]) as archive:
        written = YAML(typ="safe", pure=True).load(archive.read("model-config.yaml"))
    labels = written["handlerkit"]["labels"]
    assert (len(labels), labels[0], labels[8]) == (21, "__background__", "cat")


def test_weights_of_torchvision_may_have_what_only_training_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The auxiliary classifier that torchvision's own files carry is left out of the archive, and the rest is used."""
    from torchvision.models.segmentation import deeplabv3_mobilenet_v3_large

    folder = tmp_path / "deeplab"
    shutil.copytree(paths.SPECS / "lraspp-voc", folder)
    source = {"torchvision": "deeplabv3_mobilenet_v3_large", "weights": "COCO_WITH_VOC_LABELS_V1"}
    _change(folder, versions={"1": {"source": source, "runtime": "onnx"}}, options={"size": [64, 64]}, input=[3, 64, 64])
    torch.manual_seed(1)
    network = _lively(deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None, aux_loss=True))
    assert any(key.startswith("aux_classifier.") for key in network.state_dict())
    torch.save(network.state_dict(), tmp_path / "mine.pt")
    (entry,) = built(capsys, tmp_path, folder, "--version", "1", "--weights", tmp_path / "mine.pt")
    assert entry["weights"]["source"] == "file"
    assert entry["parity"]["largest_difference"] <= 1e-3
    torch.save({"classifier.weight": torch.ones(1)}, tmp_path / "other.pt")
    done = build(capsys, tmp_path, folder, "--version", "1", "--weights", tmp_path / "other.pt")
    assert "1 keys unexpected (first: classifier.weight)" in done.error


def _lively(network: torch.nn.Module) -> torch.nn.Module:
    """The network with statistics of its own activations: without them random weights give every image the same scores."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.randn(8, 3, 64, 64))
        scores = network.eval()(torch.randn(2, 3, 64, 64))["out"]
    assert scores.std((0, 2, 3)).min() > 0.01
    return network


def _change(folder: Path, **changes: Any) -> None:
    yaml = YAML(typ="safe", pure=True)
    written = yaml.load(folder / "model.yaml") | changes
    with (folder / "model.yaml").open("w") as file:
        yaml.dump(written, file)
