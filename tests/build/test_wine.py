"""The model of a table, built as it is shipped."""

from __future__ import annotations

import json

import pytest
from scripts_of_ours import call_script

from marina.paths import Store


def test_wine_is_built_in_both_versions(specs_store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """ONNX and TorchScript answer nine of ten held-out wines rightly, and as the eager network does."""
    done = call_script(capsys, "build_mar", "wine", "--store", specs_store.folder, "--json")
    assert done.code == 0, done.err
    built = json.loads(done.out)
    assert [(one["version"], one["runtime"]) for one in built] == [("1", "onnx"), ("2", "torchscript")]
    for one in built:
        assert one["accuracy"]["value"] > 0.9
        assert one["accuracy"]["requests"] == 36
        assert one["parity"]["largest_difference"] <= one["parity"]["tolerance"] == 1e-4
