"""Each format holds what a network is: its outputs whatever they are in, its attributes, its batch."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from models import NETWORK, write_model
from scripts_of_ours import call_script

from marina import paths
from marina.errors import UsageError
from marina.paths import Store
from marina.store.exporters import RUNTIMES, check_version
from marina.store.index import read_index
from marina.store.spec import Version

SOURCE = {"network": "network.py"}
PRECISIONS = ("fp32", "bf16", "int8")
TENSORS: dict[str, Any] = {
    "handler": "tensor_model",
    "options": {"inputs": {"numbers": {"shape": [4]}}, "outputs": ["sum", "most"]},
    "input": {"numbers": {"shape": [4]}},
    "labels": None,
    "sample": {"request": "numbers.json"},
}
OUTPUTS = """
from typing import Dict, Tuple
import torch
from torch import nn


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, numbers){annotation}:
        sums, most = (numbers * self.scale).sum(1), numbers.amax(1)
        return {output}
"""
KINDS = {
    "a dictionary": (" -> Dict[str, torch.Tensor]", '{"sums": sums, "most": most}'),
    "a tuple": (" -> Tuple[torch.Tensor, torch.Tensor]", "sums, most"),
}


def test_the_docs_say_which_format_has_which_precision() -> None:
    """The table of docs/formats.md is what the build accepts and refuses."""
    text = (paths.ROOT / "docs" / "formats.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (yes|no) \| (yes|no) \| (yes|no) \|", text, re.MULTILINE)
    listed = {(runtime, precision): cell for runtime, *cells in rows for precision, cell in zip(PRECISIONS, cells, strict=True)}
    assert listed == {(runtime, precision): _accepted(runtime, precision) for runtime in RUNTIMES for precision in PRECISIONS}


def _accepted(runtime: str, precision: str) -> str:
    version = Version.model_validate({"source": SOURCE, "runtime": runtime, "precision": precision})
    try:
        check_version(version)
    except UsageError:
        return "no"
    return "yes"


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_in_a_container_keep_their_order_in_every_format(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dictionary or a tuple of tensors: the same numbers in the same places, and a request is answered."""
    annotation, output = KINDS[kind]
    code = OUTPUTS.replace("{annotation}", annotation).replace("{output}", output)
    quick = [name for name in RUNTIMES if name != "aotinductor" or kind == "a dictionary"]
    every: dict[str, dict[str, Any]] = {name: {"source": SOURCE, "runtime": name} for name in quick}
    every["script"] = {"source": SOURCE, "runtime": "torchscript", "script": True}
    files = {"network.py": code, "numbers.json": '{"data": [1, 2, 3, 4]}'}
    model = write_model(tmp_path / "model", files, versions=every, **TENSORS)
    done = call_script(capsys, "build_mar", model, "--store", tmp_path / "store", "--random-weights")
    assert done.code == 0, done.err
    for name, entry in read_index(Store(tmp_path / "store")).models["brightness"].items():
        assert entry.parity is not None
        assert entry.parity.largest_difference <= 1e-5, name
        assert entry.parity.compared_rows == 12, name


NAMED = NETWORK.replace(
    "self.scale =",
    """self.class_names = ["dark", "light"]
        self.threshold = 0.5
        self.scale =""",
).replace("0.5 - mean", "self.threshold - mean")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_script_keeps_the_attributes_of_its_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Class names are still there where the file alone is loaded, without the class."""
    version = {"source": SOURCE, "runtime": "torchscript", "script": True}
    model = write_model(tmp_path / "model", {"network.py": NAMED}, versions={"1": version})
    done = call_script(capsys, "build_mar", model, "--store", tmp_path / "store", "--random-weights")
    assert done.code == 0, done.err
    with zipfile.ZipFile(tmp_path / "store" / "archives" / "brightness-1.mar") as archive:
        archive.extract("model.pt", tmp_path)
    loaded = torch.jit.load(tmp_path / "model.pt")
    assert (loaded.class_names, loaded.threshold) == (["dark", "light"], 0.5)


ELSEWHERE = NETWORK.replace("self.scale =", 'self.mean = torch.zeros(1, device="meta")\n        self.scale =')
DEVICE = '"cuda" if torch.cuda.is_available() else "cpu"'


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_tensor_that_is_not_on_the_cpu_is_named(runtime: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mere attribute is not moved with its network; a worker elsewhere would not find its device."""
    model = write_model(tmp_path / "model", {"network.py": ELSEWHERE}, versions={"1": {"source": SOURCE, "runtime": runtime}})
    done = call_script(capsys, "build_mar", model, "--store", tmp_path / "store", "--random-weights")
    assert done.code == 2
    assert done.error == (
        "the network's mean lies on meta, and exports start from the CPU: "
        "make it without a device, by self.register_buffer, and leave the device to the worker"
    )


def test_a_network_that_moves_itself_to_a_gpu_is_exported_from_the_cpu(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever device its constructor prefers, the archive runs where there is none."""
    code = NETWORK.replace("torch.ones(1))", f"torch.ones(1))\n        self.to({DEVICE})")
    model = write_model(tmp_path / "model", {"network.py": code})
    done = call_script(capsys, "build_mar", model, "--store", tmp_path / "store", "--version", "1")
    assert done.code == 0, done.err
    with zipfile.ZipFile(tmp_path / "store" / "archives" / "brightness-1.mar") as archive:
        archive.extract("model.pt", tmp_path)
    assert b"cuda" not in (tmp_path / "model.pt").read_bytes()
