"""The spec digit_scenes: a detector that trains in seconds, the same by every runtime, measured on digits it never saw."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loading import load_in_a_process, unpacked
from scripts_of_ours import run_script

from marina import paths
from marina.paths import Store
from marina.store.sources import load_module
from marina.store.spec import find_spec

SPEC = paths.SPECS / "digit_scenes"


@pytest.fixture(scope="module")
def store(specs_store: Store) -> Path:
    return specs_store.folder


@pytest.fixture(scope="module")
def built(store: Path) -> list[dict[str, Any]]:
    """Both versions, trained and built here."""
    done = run_script("build_mar", "digit_scenes", "--store", store, "--json")
    assert done.code == 0, done.err
    entries: list[dict[str, Any]] = json.loads(done.out)
    return entries


@pytest.mark.timeout(700)
def test_digit_scenes_is_built_in_both_versions(built: list[dict[str, Any]]) -> None:
    """TorchScript and ONNX find held-out digits in 200 scenes, and find them as the eager network does."""
    assert [(one["version"], one["runtime"]) for one in built] == [("1", "torchscript"), ("2", "onnx")]
    for one in built:
        assert one["accuracy"]["metric"] == "mAP@0.5"
        assert one["accuracy"]["value"] > 0.9
        assert one["accuracy"]["requests"] == 200
        assert one["parity"]["largest_difference"] <= one["parity"]["tolerance"] == 1e-3


def test_a_worker_of_a_detector_imports_no_torchvision(built: list[dict[str, Any]], store: Path, tmp_path: Path) -> None:
    """Boxes are compared, dropped and drawn without it; Captum comes with the first explanation."""
    done = load_in_a_process(unpacked(store / "archives" / built[0]["archive"], tmp_path))
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert "object_detector" in loaded
    assert not [name for name in loaded if name.startswith(("torchvision", "captum", "onnxruntime", "openvino"))]


def test_held_out_scenes_have_digits_that_training_never_sees() -> None:
    """The split is by digit, before any is pasted, and what is drawn in a box is the digit it is said to be."""
    training = load_module(SPEC / "training.py")
    (known, _), (unknown, _) = training.digits()
    assert (len(known), len(unknown)) == (1437, 360)
    assert not {image.tobytes() for image in known} & {image.tobytes() for image in unknown}
    for scene in training.scenes(training.digits()[1], 20, 1):
        for left, top, right, bottom in scene.boxes:
            inside = scene.image[int(top) : int(bottom), int(left) : int(right)]
            assert inside.mean() > np.median(scene.image) + 0.1


def test_the_options_fit_the_training() -> None:
    """Requests have the size of what was trained on."""
    found = find_spec("digit_scenes")
    training = load_module(found.beside("training.py"))
    assert found.spec.options["size"] == [training.SIDE, training.SIDE]
    assert [one.shape for one in found.spec.tensors.values()] == [[1, training.SIDE, training.SIDE]]


def answer(label: str, probability: float, box: Sequence[float]) -> dict[str, Any]:
    return {"label": label, "probability": probability, "box": box}


def test_mean_average_precision_is_the_textbooks() -> None:
    """By hand: "1" has hit, miss, hit of three boxes (1/3 + 1/3 · 2/3); "2" is found once, and once more in vain."""
    measure = load_module(SPEC / "training.py").measure
    ones, two = [[0, 0, 10, 10], [20, 20, 30, 30], [50, 50, 60, 60]], [0, 0, 8, 8]
    scenes = [
        ({"boxes": ones, "labels": ["1"] * 3}, [answer("1", 0.9, [0, 0, 10, 9]), answer("1", 0.8, [0, 30, 10, 40])]),
        ({"boxes": [two], "labels": ["2"]}, [answer("2", 0.7, two), answer("2", 0.6, two), answer("9", 0.9, two)]),
    ]
    scenes[0][1].append(answer("1", 0.7, [20, 20, 30, 30]))
    assert measure(scenes) == ("mAP@0.5", pytest.approx(((1 / 3 + 1 / 3 * 2 / 3) + 1) / 2))
    assert measure([(scenes[0][0], [])]) == ("mAP@0.5", 0.0)
    assert measure([(scenes[1][0], [answer("2", 0.7, [0, 0, 8, 3.9])])]) == ("mAP@0.5", 0.0)
