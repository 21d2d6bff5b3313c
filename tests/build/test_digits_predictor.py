"""The spec digits_predictor: preprocessing inside the network, and which runtimes can hold it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from scripts_of_ours import call_script, run_script

from marina import paths
from marina.paths import Store
from marina.store.index import read_index
from marina.store.spec import find_spec

SPEC = paths.SPECS / "digits_predictor"
LOADED = "import json, sys, torch; made = torch.jit.load(sys.argv[1]); print(json.dumps([made.class_names, [*sys.modules]]))"


@pytest.fixture(scope="module")
def built(specs_store: Store) -> Store:
    done = run_script("build_mar", "digits_predictor", "--store", specs_store.folder)
    assert done.code == 0, done.err
    return specs_store


def test_both_versions_read_pictures_of_many_sizes(built: Store) -> None:
    """More than 96 of 100 held-out digits are read rightly, and as by the eager network, at other sizes too."""
    for version, runtime in (("1", "torchscript"), ("2", "openvino")):
        entry = read_index(built).models["digits_predictor"][version]
        assert entry.runtime == runtime
        assert entry.accuracy is not None
        assert entry.accuracy.value > 0.96
        assert entry.accuracy.requests == 360
        assert entry.parity is not None
        assert entry.parity.largest_difference <= entry.parity.tolerance == 1e-4
        assert entry.parity.compared_rows == 18


def test_the_file_knows_its_classes_wherever_it_is_loaded(built: Store, tmp_path: Path) -> None:
    """class_names is there for a process that has torch and nothing else: no torchvision, nothing of ours."""
    with zipfile.ZipFile(built.archives / "digits_predictor-1.mar") as archive:
        archive.extract("model.pt", tmp_path)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-W", "ignore", "-c", LOADED, str(tmp_path / "model.pt")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment).stdout
    names, modules = json.loads(printed.splitlines()[-1])
    assert names == find_spec("digits_predictor").spec.labels == [str(digit) for digit in range(10)]
    assert not [name for name in modules if name.startswith(("torchvision", "handlerkit", "marina"))]


CELLS = {
    "predictor.py": {
        "eager": "",
        "torchscript": "type Tensor doesn't define __round__ method",
        "script": "",
        "export": "Data-dependent branching",
        "aotinductor": "Data-dependent branching",
        "onnx": "type Tensor doesn't define __round__ method",
        "openvino": "type Tensor doesn't define __round__ method",
    },
    "stretching.py": {
        "eager": "",
        "torchscript": "",
        "script": "",
        "export": "",
        "aotinductor": "",
        "onnx": "Exporting the operator 'aten::_upsample_bilinear2d_aa' to ONNX opset version 18 is not supported",
        "openvino": "",
    },
}


@pytest.mark.parametrize(("network", "runtime"), [(network, runtime) for network, cells in CELLS.items() for runtime in cells])
def test_a_runtime_that_cannot_hold_the_preprocessing_is_refused(
    network: str, runtime: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Built and tried with other heights and widths, or refused by the build in one line, with the exporter's reason."""
    shutil.copytree(SPEC, tmp_path / "spec")
    wanted = {"runtime": "torchscript", "script": True} if runtime == "script" else {"runtime": runtime}
    yaml = YAML(typ="safe", pure=True)
    spec = yaml.load((SPEC / "model.yaml").read_text())
    with (tmp_path / "spec" / "model.yaml").open("w") as file:
        yaml.dump(spec | {"versions": {"1": {"source": {"network": network}, **wanted}}}, file)
    done = call_script(capsys, "build_mar", tmp_path / "spec", "--store", tmp_path / "store", "--random-weights")
    reason = CELLS[network][runtime]
    assert done.code == (1 if reason else 0), done.err
    if reason:
        shapes = f"cannot be exported to {wanted['runtime']} with inputs of shape [[2, 3, 64, 64]]: "
        assert shapes + reason in done.error
        assert len(done.err.splitlines()) < 5
    else:
        parity = read_index(Store(tmp_path / "store")).models["digits_predictor"]["1"].parity
    assert parity is not None
    assert parity.compared_rows == 18


def test_the_docs_have_the_same_table() -> None:
    """docs/tasks.md says of both networks which runtimes hold them, as the builds above found it."""
    text = (paths.ROOT / "docs" / "tasks.md").read_text()
    (header,) = re.findall(r"^\| preprocessing \| (.*) \|$", text, re.MULTILINE)
    runtimes = header.replace("`", "").split(" | ")
    rows = re.findall(r"^\| (?:torchvision|one operation).* `(\w+\.py)` \| (.*) \|$", text, re.MULTILINE)
    assert {network: dict(zip(runtimes, marks.split(" | "), strict=True)) for network, marks in rows} == {
        network: {runtime: "no" if reason else "yes" for runtime, reason in cells.items()} for network, cells in CELLS.items()
    }
