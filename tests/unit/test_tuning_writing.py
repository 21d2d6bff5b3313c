"""What the tuner writes into a person's spec: what was found, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from models import write_model

from marina.errors import UsageError
from marina.store.inputs import inputs_digest
from marina.store.spec import SpecFile, find_spec
from marina.tuning.formats import PRECISIONS, RUNTIMES, possible_formats, version_as
from marina.tuning.space import Format, Layout, Point
from marina.tuning.writing import Target, change_of, evidence_path, require_free, target_of

SPEC = """\
# what my colleagues read
name: brightness
description: Says whether an image is light or dark.
handler: image_classifier
options: {size: [4, 4], mode: 'L'}  # small
input: [1, 4, 4]
labels:
  - dark
  - light
training: training.py

sample:
  request: light.png
  label: light   # of course
serving:
  workers: 4   # as many as last year
  response_timeout_s: 30
versions:
  # the first one
  "1":
    source: {network: network.py}
    runtime: torchscript
  "2": {source: {network: network.py}, runtime: eager, tolerance: 0.001}
"""
TORCHSCRIPT, BF16 = Format(runtime="torchscript"), Format(runtime="openvino", precision="bf16")
CORES = 2


def spec(folder: Path, text: str = SPEC) -> SpecFile:
    write_model(folder)
    (folder / "model.yaml").write_text(text)
    return find_spec(str(folder))


def point(how: Format, workers: int = 1, threads: int = 2) -> Point:
    return Point(format=how, layout=Layout(workers=workers, threads=threads), batch_size=8, max_batch_delay_ms=2)


def changed(found: SpecFile, version: str, to: Point, name: str | None = None, *, in_place: bool = False) -> tuple[str, str]:
    """What goes, and what comes, by a change; line by line."""
    change = change_of(found, target_of(found, version, to, name, in_place=in_place), to, CORES)
    lines = [line for line in change.diff.splitlines() if not line.startswith(("+++", "---", "@@"))]
    return tuple("\n".join(line[1:].strip() for line in lines if line[0] == sign) for sign in "-+")  # type: ignore[return-value]


def test_only_what_was_found_is_changed(tmp_path: Path) -> None:
    """Comments, order, quotes and flow style of everything else stay as they are."""
    gone, come = changed(spec(tmp_path), "1", point(TORCHSCRIPT))
    assert gone == "workers: 4   # as many as last year"
    assert come == "workers: 1   # as many as last year\nbatch_size: 8\nmax_batch_delay_ms: 2"


def test_another_runtime_is_a_version_of_its_own(tmp_path: Path) -> None:
    """So that it can be compared with the one that callers know; which keeps its name, its runtime and its comments."""
    found = spec(tmp_path)
    _, come = changed(found, "1", point(BF16))
    assert come.endswith('"1-tuned":\nsource: {network: network.py}\nruntime: openvino\nprecision: bf16')
    change = change_of(found, Target("1", "1-tuned"), point(BF16), CORES)
    change.write()
    written = find_spec(str(tmp_path)).spec
    assert (written.versions["1"].runtime, written.versions["1-tuned"].precision) == ("torchscript", "bf16")
    assert "# the first one" in (tmp_path / "model.yaml").read_text()


def test_a_version_may_be_given_a_name_or_be_changed_itself(tmp_path: Path) -> None:
    """By --as, or by --in-place; what no longer holds of it goes."""
    found = spec(tmp_path)
    assert '"3": {source: {network: network.py}, runtime: openvino, precision: bf16}' in changed(found, "2", point(BF16), "3")[1]
    gone, come = changed(found, "2", point(Format(runtime="openvino", precision="int8")), in_place=True)
    assert gone.endswith('"2": {source: {network: network.py}, runtime: eager, tolerance: 0.001}')
    assert come.endswith('"2": {source: {network: network.py}, runtime: openvino, precision: int8}')


def test_threads_are_written_only_where_they_are_not_the_share_of_the_cores(tmp_path: Path) -> None:
    """Two workers with one thread each need not be said on two cores; with two each, they are."""
    found = spec(tmp_path)
    assert "threads" not in changed(found, "1", point(TORCHSCRIPT, 2, 1))[1]
    assert "threads: 2" in changed(found, "1", point(TORCHSCRIPT, 2, 2))[1]


def test_a_spec_that_says_nothing_of_serving_gets_it(tmp_path: Path) -> None:
    """Before its versions."""
    text = SPEC.replace("serving:\n  workers: 4   # as many as last year\n  response_timeout_s: 30\n", "")
    gone, come = changed(spec(tmp_path, text), "1", point(TORCHSCRIPT))
    assert (gone, come) == ("", "serving:\nworkers: 1\nbatch_size: 8\nmax_batch_delay_ms: 2")


def test_the_same_again_changes_nothing(tmp_path: Path) -> None:
    """Written twice is written once; and the file's mode stays."""
    found = spec(tmp_path)
    (tmp_path / "model.yaml").chmod(0o640)
    change_of(found, Target("1", "1"), point(TORCHSCRIPT), CORES).write()
    assert (tmp_path / "model.yaml").stat().st_mode & 0o777 == 0o640
    assert changed(find_spec(str(tmp_path)), "1", point(TORCHSCRIPT)) == ("", "")


def test_a_name_that_is_taken_is_one_line(tmp_path: Path) -> None:
    """It names the option that gives another."""
    with pytest.raises(UsageError, match=r"model.yaml: has a version 2 already: give another name by --as"):
        require_free(spec(tmp_path), "2")


def test_evidence_beside_a_spec_makes_no_archive_stale(tmp_path: Path) -> None:
    """It says how fast the version is, not what it is."""
    found = spec(tmp_path)
    before = inputs_digest(found, "1")
    evidence_path(found, Target("1", "1-tuned")).write_text("{}")
    assert inputs_digest(found, "1") == before
    (tmp_path / "other.json").write_text("{}")
    assert inputs_digest(found, "1") != before


def test_formats_are_those_that_the_build_takes(tmp_path: Path) -> None:
    """The version's own first; no int8 by runtimes that have none, images with their channels last where that is a choice."""
    found = spec(tmp_path)
    formats = possible_formats(found, "1", RUNTIMES, PRECISIONS)
    assert formats[0] == TORCHSCRIPT
    assert {one.runtime for one in formats if one.precision == "int8"} == {"openvino", "onnx", "aotinductor"}
    assert Format(runtime="torchscript", precision="bf16", channels_last=True) in formats
    assert Format(runtime="onnx", precision="bf16") not in formats
    only = possible_formats(found, "2", ["openvino"], ["fp32"])
    assert list(map(str, only)) == ["eager fp32", "openvino fp32"]


def test_a_tolerance_is_of_the_precision_that_it_was_written_for(tmp_path: Path) -> None:
    """Reduced precisions are held to their agreement instead."""
    found = spec(tmp_path)
    assert version_as(found, "2", BF16).tolerance is None
    assert version_as(found, "2", TORCHSCRIPT).tolerance == 0.001
