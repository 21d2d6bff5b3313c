"""What is made of archives for Triton and SageMaker, short of running it there, which make parity does."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest
from parity_table import FIGURE, MODELS, NO, ROADS, allowed, as_table, read_table, table_text
from scripts_of_ours import Ended, call_script
from stores import make_store

from marina.paths import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two versions of a model, whose spec is elsewhere."""
    return make_store(tmp_path / "store")


@pytest.fixture
def export(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Calls the script for version 1."""

    def call(*arguments: str) -> Ended:
        given = ["--version", "1", "--out", str(tmp_path / "out"), "--store", str(store.folder)]
        return call_script(capsys, "export_model", "brightness", *arguments, *given)

    return call


def test_an_archive_becomes_a_model_of_sagemaker(export: Any, tmp_path: Path) -> None:
    """The archive, the four functions around its handler, and what to install; also where no spec is of it."""
    done = export("--to", "sagemaker")
    assert done.code == 0, done.err
    with tarfile.open(tmp_path / "out" / "model.tar.gz") as packed:
        names = packed.getnames()
        needed = packed.extractfile("code/requirements.txt")
        assert needed is not None
        lines = needed.read().decode().splitlines()
        assert {(one.uid, one.mtime, one.uname) for one in packed.getmembers()} == {(0, 0, "")}
    assert {"archive/MAR-INF/MANIFEST.json", "archive/model.pt", "code/inference.py", "code/archive_worker.py"} <= set(names)
    assert "torchserve==0.12.0" in lines
    assert "captum" in lines


def test_an_archive_becomes_a_model_of_triton(export: Any, tmp_path: Path) -> None:
    """Served as the spec has it: its batch size, its delay, its workers, and its version as a parameter."""
    done = export("--to", "triton")
    assert done.code == 0, done.err
    assert "note: Triton's Python must have torch==" in done.err
    folder = tmp_path / "out" / "brightness"
    config = (folder / "config.pbtxt").read_text()
    for line in (
        'backend: "python"',
        "max_batch_size: 1",
        "max_queue_delay_microseconds: 1000",
        "count: 1 kind: KIND_CPU",
        'string_value: "1"',
    ):
        assert line in config
    assert (folder / "1" / "archive" / "model.pt").is_file()
    assert (folder / "1" / "model.py").is_file()


def test_a_network_that_triton_would_call_wrongly_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its PyTorch backend calls forward, whatever the version says; with the way out."""
    out = str(tmp_path / "out")
    done = call_script(capsys, "export_model", "digits_mc", "--to", "triton", "--platform", "torchscript", "--out", out)
    assert (done.code, "the method predict_step: use --platform handler" in done.error) == (2, True)


def test_the_table_of_the_docs_has_every_road() -> None:
    """Each cell is refused, or was measured within what is allowed, by make parity UPDATE=1."""
    table = read_table()
    assert as_table(table) == table_text(), "write it anew: make parity UPDATE=1"
    for model in MODELS:
        for road in ROADS:
            cell = table[road][str(model)]
            if road in dict(model.refused):
                assert cell == NO
            else:
                assert FIGURE.match(cell), (road, str(model))
                assert float(cell) <= allowed(road, model)
