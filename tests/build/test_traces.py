"""What a trace loses is said, recorded, and found by parity."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from models import NETWORK, write_model
from scripts_of_ours import call_script

BRANCH = "        if images.abs().max() > {limit}:\n            mean = mean + 7\n        return torch"
LINE = 1 + NETWORK[: NETWORK.index("        return torch")].count("\n")
PLACE = f"network of brightness, line {LINE}, 'if images.abs().max() > "
TRACED = ("torchscript", "onnx", "openvino")


def branching(limit: float) -> dict[str, str]:
    """A network that goes another way for large inputs; those that the build generates are below 100, and some above 3.3."""
    return {"network.py": NETWORK.replace("        return torch", BRANCH.format(limit=limit))}


@pytest.mark.parametrize("runtime", TRACED)
def test_a_branch_that_a_trace_loses_is_reported_and_recorded(
    runtime: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where no input of the build goes the other way: the user's own file, line and code, on stderr and in the index."""
    versions = {"1": {"source": {"network": "network.py"}, "runtime": runtime}}
    model = write_model(tmp_path / "model", branching(100), versions=versions)
    done = call_script(capsys, "build_mar", model, "--store", tmp_path / "store", "--json")
    assert done.code == 0, done.err
    (warning,) = json.loads(done.out)[0]["warnings"]
    assert warning.startswith(PLACE + "100:': Converting a tensor to a Python boolean might cause the trace to be incorrect")
    assert f"warning: {warning}" in done.err


@pytest.mark.parametrize("runtime", TRACED)
def test_a_branch_that_parity_finds_names_the_line_and_the_way_out(
    runtime: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The difference alone would leave its user searching."""
    versions = {"1": {"source": {"network": "network.py"}, "runtime": runtime}}
    model = write_model(tmp_path / "model", branching(2.6), versions=versions)
    done = call_script(capsys, "build_mar", model, "--store", tmp_path / "store")
    assert done.code == 1
    assert (
        f"differs from the eager one by 7; the spec's tolerance is 0.0001. The export kept one path alone of {PLACE}"
        in done.error
    )
    assert done.error.endswith(": use runtime torchscript with script: true")


def test_a_script_keeps_the_branch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The way out that the message names works, and warns of nothing."""
    versions = {"1": {"source": {"network": "network.py"}, "runtime": "torchscript", "script": True}}
    model = write_model(tmp_path / "model", branching(2.6), versions=versions)
    done = call_script(capsys, "build_mar", model, "--store", tmp_path / "store", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)[0]["warnings"] == []


def test_a_loss_in_a_library_names_the_line_that_called_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The warning comes from within torch; what a user can change is their own line."""
    code = NETWORK.replace(
        "images.mean((1, 2, 3))", "(torch.jit.annotate(torch.Tensor, images).mean((1, 2, 3)) + len(images) * 0)"
    )
    model = write_model(tmp_path / "model", {"network.py": code})
    done = call_script(capsys, "build_mar", model, "--store", tmp_path / "store", "--json", "--version", "1")
    assert done.code == 0, done.err
    (warning,) = json.loads(done.out)[0]["warnings"]
    assert warning.startswith("network of brightness, line ")
    assert "len(images)" in warning
