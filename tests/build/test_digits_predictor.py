"""The spec digits_predictor: preprocessing inside the network. Which runtimes can hold it is seen by tests/cells."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from scripts_of_ours import run_script

from marina.paths import Store
from marina.store.index import read_index
from marina.store.spec import find_spec

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
        assert entry.parity.largest_difference <= (entry.parity.tolerance or 0) == 1e-4
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
