"""Versions made ready for other roads by scripts/export_model.py, and every mistake that its user can make."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from handlerkit.images import ImageOptions, read_image
from models import write_model
from PIL import Image
from scripts_of_ours import Ended, call_script, run_script
from stores import make_store

from marina import paths
from marina.paths import Store
from marina.roads.export import ROADS
from marina.roads.pictures import Pictures, Reading, read_picture
from marina.store.index import find_entry

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch's exporters
SEVEN = paths.SPECS / "digits" / "seven.png"
PIXEL = 1 / 255


@pytest.fixture(scope="module")
def store(specs_store: Store) -> Store:
    """With digits 1.0."""
    assert run_script("build_mar", "digits", "--version", "1.0", "--store", specs_store.folder).code == 0
    return specs_store


@pytest.fixture
def export(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Calls the script with a store and a folder of the test's own."""

    def call(model: str, *arguments: str | Path) -> Ended:
        given: list[str | Path] = [] if "--out" in arguments else ["--out", tmp_path / "out"]
        where: list[str | Path] = [] if "--store" in arguments else ["--store", store.folder]
        return call_script(capsys, "export_model", model, *arguments, *given, *where)

    return call


def test_an_onnx_file_answers_as_the_network(export: Any, tmp_path: Path) -> None:
    """Of any number of rows; how far it is from the eager network is measured and told, below the spec's tolerance."""
    done = export("digits", "--to", "onnx", "--json")
    assert done.code == 0, done.err
    made = json.loads(done.out)
    assert made["difference"] <= made["tolerance"] == 1e-4
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    for rows in (1, 3):
        (scores,) = session.run(None, {"input_0": np.zeros((rows, 1, 8, 8), np.float32)})
        assert scores.shape == (rows, 10)


def test_an_onnx_file_may_read_pixels_itself(export: Any, tmp_path: Path) -> None:
    """Of any size, one for each batch: resized, inverted where its ground is light, normalised; the seven is a seven."""
    assert export("digits", "--to", "onnx", "--with-preprocessing").code == 0
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    pixels = read_picture(SEVEN, Pictures(mode="L")).numpy()
    for image in (pixels, 255 - pixels, pixels.repeat(3, 2).repeat(2, 3)):
        (scores,) = session.run(None, {"input_0": image})
        assert scores.argmax() == 7


def test_where_a_trace_is_refused_the_other_exporter_is_named(export: Any, tmp_path: Path) -> None:
    """As with a pooling behind the preprocessing, whose sizes a trace has forgotten."""
    code = (
        "from torch import nn\n\n\nclass Network(nn.Sequential):\n    def __init__(self):\n"
        "        super().__init__(nn.Conv2d(1, 2, 1), nn.AdaptiveAvgPool2d((2, 2)), nn.Flatten(), nn.Linear(8, 2))\n"
    )
    options = {"size": [4, 4], "mode": "L", "resize": 5}
    model = write_model(tmp_path / "pooled", {"network.py": code}, name="pooled", options=options)
    done = export(str(model), "--version", "1", "--to", "onnx", "--with-preprocessing", "--random-weights")
    assert done.code == 1
    assert "adaptive_avg_pool2d" in done.error
    assert done.error.endswith("; --exporter dynamo goes by torch.export, and can do more")


def test_an_onnx_graph_is_printed(export: Any) -> None:
    """Inputs with their free sizes, weights by their shapes, nodes by their names; and nothing else on stdout."""
    done = export("digits", "--to", "onnx", "--print")
    assert done.out.startswith("graph main_graph (\n  %input_0[FLOAT, rowsx1x8x8]\n)")
    assert "%0.weight[FLOAT, 16x1x3x3]" in done.out
    assert "= Conv[" in done.out
    assert "largest difference" not in done.out


OPTIONS = [
    {"size": (8, 8), "mode": "L", "interpolation": "box", "ground": "dark"},
    {"size": (224, 224), "resize": 256, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
    {"size": (32, 48), "interpolation": "bicubic", "ground": "dark"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=["digits", "imagenet", "bicubic"])
def test_preprocessing_inside_reads_as_the_handler_does(options: dict[str, Any]) -> None:
    """Of pictures of many sizes, dark and light: many to the bit; by Pillow's other order of both axes by 1 of 255 in a pixel.

    Bicubic weights may be negative: there the other order can be more.
    """
    random, same = np.random.default_rng(0), 0
    handler, reading = ImageOptions(**options), Reading(Pictures(**options))
    allowed = PIXEL / min(handler.std) * (10 if handler.interpolation == "bicubic" else 1) + 1e-6
    for number in range(20):
        shape = (*map(int, random.integers(9, 300, 2)), 3)
        image = Image.fromarray((random.integers(0, 90, shape) + 160 * (number % 2)).astype(np.uint8)).convert(handler.mode)
        file = io.BytesIO()
        image.save(file, "PNG")
        pixels = torch.from_numpy(np.array(image)).reshape(1, *shape[:2], -1).permute(0, 3, 1, 2)
        apart = float((reading(pixels)[0] - read_image(file.getvalue(), handler)).abs().max())
        assert apart <= allowed, (shape, apart)
        same += apart == 0
    assert same >= 5


def test_the_handlers_options_are_known_here() -> None:
    """What is read of them has the same defaults on both sides of the wall."""
    handler = ImageOptions()
    assert {name: getattr(handler, name) for name in Pictures.model_fields} == Pictures().model_dump()


MISTAKES = [
    (["digits", "--to", "onyx"], 2, "--to onyx: did you mean 'onnx'?"),
    (["digits", "--to", "onnx", "--exporter", "magic"], 2, "--exporter magic: --to onnx has trace, dynamo"),
    (["digits", "--to", "onnx", "--platform", "onnx"], 2, "--platform does not go with --to onnx"),
    (["digits", "--to", "sagemaker", "--print"], 2, "--print goes with --to onnx"),
    (["digits", "--to", "onnx", "--print", "--json"], 2, "--print and --json exclude each other"),
    (["digits", "--to", "sagemaker", "--with-preprocessing"], 2, "its handler reads requests itself"),
    (["digits", "--to", "onnx", "--weights", "none.pt"], 2, "--weights none.pt: no such file"),
    (["digits", "--to", "onnx", "--version", "9"], 2, "digits has no version 9; it has: 1.0, 2.0, 3.0"),
    (["digit", "--to", "onnx"], 2, "no spec 'digit': did you mean 'digits'?"),
    (["wine", "--to", "onnx", "--with-preprocessing"], 2, "this one has tensor_model: leave --with-preprocessing out"),
    (["digits_mc", "--to", "onnx"], 2, "predict_step draws random numbers, and this runtime silently leaves dropout out"),
    (["ssdlite-coco", "--to", "onnx", "--random-weights"], 2, "goes by a trace, which keeps the number of images"),
]


@pytest.mark.parametrize(("command", "code", "message"), MISTAKES, ids=lambda one: " ".join(one) if isinstance(one, list) else "")
def test_a_mistake_is_one_line(export: Any, tmp_path: Path, command: list[str], code: int, message: str) -> None:
    """What was required, what was found, what to do; and no folder is left."""
    done = export(*command)
    assert (done.code, message in done.error) == (code, True), done.err
    assert not any(tmp_path.iterdir())


def test_what_is_there_already_is_left_alone(export: Any, tmp_path: Path) -> None:
    """A folder with something in it, and a file, are refused before anything is made; an empty folder is taken."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    assert "full is not empty: name a folder" in export("digits", "--to", "onnx", "--out", tmp_path / "full").error
    assert "mine is a file" in export("digits", "--to", "onnx", "--out", tmp_path / "full" / "mine").error
    (tmp_path / "empty").mkdir()
    assert export("digits", "--to", "onnx", "--out", tmp_path / "empty").code == 0


def test_an_archive_without_a_spec_has_no_network_to_export(export: Any, tmp_path: Path) -> None:
    """Pulled or adopted: its network is not known here; what takes archives is named."""
    store = make_store(tmp_path / "store")
    error = export("brightness", "--to", "onnx", "--store", store.folder).error
    assert error.startswith("brightness 1 has no spec here")
    assert "--to sagemaker" in error


def test_random_weights_are_told(export: Any) -> None:
    """And are those that the version was built with, where it was."""
    done = export("digits", "--to", "onnx", "--random-weights")
    assert done.code == 0
    assert "note: its weights are random" in done.err


def test_weights_of_another_file_are_asked_for_again(export: Any, store: Store, tmp_path: Path) -> None:
    """A version that was built with --weights is not exported with the spec's own, as if they were the same."""
    own = Store(tmp_path / "store")
    shutil.copytree(store.folder, own.folder)
    shutil.copy(own.weights / find_entry(own, "digits", "1.0").weights.name, tmp_path / "other.pt")
    given = ("--version", "1.0", "--store", own.folder, "--weights", tmp_path / "other.pt")
    assert run_script("build_mar", "digits", *given, "--force").code == 0
    done = export("digits", "--to", "onnx", "--store", own.folder)
    assert "was built with --weights other.pt: give them here, too" in done.error
    assert export("digits", "--to", "onnx", *given).code == 0


@pytest.mark.parametrize(("road", "way"), [(name, way) for name, road in ROADS.items() for way in road.packages])
def test_a_package_that_is_missing_is_named_with_its_command(
    export: Any, road: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them is needed to serve, and so none is among the requirements."""
    package = ROADS[road].packages[way]
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not there
    done = export("digits", "--to", road, "--exporter", way)
    assert (done.code, done.error.endswith(f"is not installed: python -m pip install {package}")) == (1, True)
