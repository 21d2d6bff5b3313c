"""Detectors of torchvision: built for the runtimes that can carry them, refused for the others."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from models import write_model
from pictures import plain
from scripts_of_ours import call_script
from task_table import OF_A_GRAPH, OF_A_TRACE
from torchvision.models import get_model

from marina import paths
from marina.paths import Store
from marina.store.preflight import try_archive
from marina.store.spec import find_spec

SSDLITE = "ssdlite320_mobilenet_v3_large"
INSTEAD = f"for torchvision's {SSDLITE} choose runtime torchscript with script: true, or eager"


def detector(folder: Path, name: str, **version: Any) -> Path:
    """The folder of a spec of torchvision's network ``name``."""
    model = write_model(
        folder,
        handler="object_detector",
        options={"size": [320, 320], "threshold": 0.01},
        input=[3, 320, 320],
        labels=None,
        training=None,
        sample={"request": "light.png"},
        tolerance=0.01,
        versions={"1": {"source": {"torchvision": name, "weights": "COCO_V1"}, **version}},
    )
    (model / "light.png").write_bytes(plain("RGB", (64, 48), (200, 90, 30)))
    return model


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"runtime": "export"}, f"runtime export: {OF_A_GRAPH}; {INSTEAD}"),
        ({"runtime": "aotinductor"}, f"runtime aotinductor: {OF_A_GRAPH}; {INSTEAD}"),
        ({"runtime": "onnx"}, f"runtime onnx: {OF_A_TRACE}; {INSTEAD}"),
        ({"runtime": "openvino"}, f"runtime openvino: {OF_A_TRACE}; {INSTEAD}"),
        ({"runtime": "torchscript"}, f"runtime torchscript: without script: true it {OF_A_TRACE}; {INSTEAD}"),
        (
            {"runtime": "eager", "precision": "bf16"},
            f"precision bf16: torchvision's {SSDLITE} drops overlapping boxes in fp32 alone; use precision fp32",
        ),
    ],
)
def test_a_runtime_that_cannot_carry_a_detector_is_refused(
    settings: dict[str, Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line: why, and what to choose instead."""
    model = detector(tmp_path / "model", SSDLITE, **settings)
    done = call_script(capsys, "build_mar", model, "--random-weights", "--store", tmp_path / "store")
    assert done.code == 2
    assert message in done.error


@pytest.mark.parametrize(
    "settings",
    [pytest.param({"runtime": "torchscript", "script": True}, marks=pytest.mark.slow), {"runtime": "eager"}],
    ids=["scripted", "eager"],
)
def test_a_detector_is_built_for_the_runtimes_that_carry_it(
    settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Batches of 1, 2 and 8 give the boxes of the eager network; tests/cells has torchvision's other kind of detector."""
    model = detector(tmp_path / "model", "fasterrcnn_mobilenet_v3_large_320_fpn", **settings)
    done = call_script(capsys, "build_mar", model, "--random-weights", "--store", tmp_path / "store", "--json")
    assert done.code == 0, done.err
    (entry,) = json.loads(done.out)
    assert entry["parity"]["largest_difference"] <= 0.01
    assert entry["parity"]["compared_rows"] == 12


def test_ssdlite_is_built_with_weights_of_the_persons_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--weights FILE takes torchvision's state dict; boxes are padded to 100 for each image, the best first."""
    torch.manual_seed(3)
    torch.save(get_model(SSDLITE, weights=None, weights_backbone=None).state_dict(), tmp_path / "own.pth")
    store = Store(tmp_path / "store")
    done = call_script(capsys, "build_mar", "ssdlite-coco", "--weights", tmp_path / "own.pth", "--store", store.folder, "--json")
    assert done.code == 0, done.err
    (entry,) = json.loads(done.out)
    assert (entry["runtime"], entry["weights"]["source"]) == ("torchscript", "file")
    archive = store.archives / entry["archive"]
    ((_, outputs),) = try_archive(archive, [], None).pairs
    boxes, scores, labels = outputs
    assert (boxes.shape, scores.shape, labels.shape) == ((1, 100, 4), (1, 100), (1, 100))
    assert torch.equal(scores, scores.sort(descending=True).values)
    assert boxes.amin() >= 0
    assert boxes.amax() <= 320
    config = zipfile.ZipFile(archive).read("model-config.yaml").decode()
    assert all(name in config for name in ("__background__", "N/A", "traffic light"))


def test_the_spec_of_ssdlite_asks_for_what_can_be_built() -> None:
    """Scripted, with COCO's labels, and a picture to try it with."""
    found = find_spec("ssdlite-coco")
    (version,) = found.spec.versions.values()
    assert (version.runtime, version.script, version.source.weights) == ("torchscript", True, "COCO_V1")
    assert (paths.SPECS / "ssdlite-coco" / found.sample.request).is_file()
