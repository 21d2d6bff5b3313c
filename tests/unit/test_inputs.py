"""What counts as a change is exact, costs milliseconds, and the same with many specs as with few."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from models import SPEC, write_model
from scripts_of_ours import call_script

from marina import paths
from marina.digests import file_digest
from marina.paths import Store
from marina.store.build import Order, unchanged
from marina.store.index import Entry, Parity, Weights, record
from marina.store.inputs import inputs_digest
from marina.store.spec import Sample, Serving, find_spec

TWO = SPEC["versions"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "brightness")


def digest(model: Path, version: str = "1") -> str:
    return inputs_digest(find_spec(str(model)), version)


@pytest.mark.parametrize(
    "name", ["README.md", "LICENSE", ".DS_Store", ".git/HEAD", "__pycache__/network.pyc", "network.py~", ".network.py.swp", "#a#"]
)
def test_what_people_and_tools_leave_beside_is_no_change(name: str, model: Path) -> None:
    """Nothing is built anew for a file that no archive is built from."""
    before = digest(model)
    (model / name).parent.mkdir(exist_ok=True)
    (model / name).write_text("new")
    assert digest(model) == before


def test_times_comments_and_order_are_no_change(model: Path) -> None:
    """What the files say counts, not when or how it was written."""
    before = digest(model)
    os.utime(model / "network.py", (0, 0))
    text = (model / "model.yaml").read_text()
    (model / "model.yaml").write_text(f"# a comment\n{text}\n")
    assert digest(model) == before
    write_model(model, **dict(reversed(SPEC.items())))
    assert digest(model) == before


def test_another_version_is_no_change(model: Path) -> None:
    """A third version leaves the first two as they are; what is said of a version itself does not."""
    before = digest(model, "1"), digest(model, "2")
    write_model(model, versions={**TWO, "3": TWO["1"]})
    assert (digest(model, "1"), digest(model, "2")) == before
    write_model(model, versions={**TWO, "2": {**TWO["2"], "threads": 2}})
    assert (digest(model, "1"), digest(model, "2") != before[1]) == (before[0], True)


@pytest.mark.parametrize(
    ("files", "changes"),
    [
        ({"network.py": "x = 1"}, {}),
        ({"data.csv": "1"}, {}),
        ({"more/data.csv": "1"}, {}),
        ({}, {"tolerance": 0.5}),
        ({}, {"weights": {"licence": "MIT"}}),
        ({}, {"serving": {"batch_size": 2}}),
    ],
)
def test_what_an_archive_or_its_entry_is_built_from_is_a_change(
    files: dict[str, str], changes: dict[str, Any], model: Path
) -> None:
    """Files of the spec, and everything that it says of the version."""
    before = digest(model)
    (model / "more").mkdir()
    write_model(model, files, **changes)
    assert digest(model) != before


def test_a_readme_that_the_spec_names_counts(model: Path) -> None:
    """A sample may be any file."""
    write_model(model, {"README.md": "a"}, sample={"request": "README.md"})
    before = digest(model)
    (model / "README.md").write_text("b")
    assert digest(model) != before


def many(folder: Path, number: int) -> tuple[Store, list[Path]]:
    """A store with archives, of nothing, of so many specs, that are as their specs are."""
    store, models = Store(folder / "store"), []
    store.archives.mkdir(parents=True)
    for at in range(number):
        model = write_model(folder / f"m{at}", name=f"m{at}", versions={"1": TWO["1"]})
        archive = store.archives / f"m{at}-1.mar"
        archive.write_bytes(b"nothing")
        entry = Entry(
            archive=archive.name, sha256=file_digest(archive), size_bytes=7, content_sha256="0", inputs_sha256=digest(model),
            spec=str(model), runtime="torchscript", weights=Weights(source="trained", name="w", sha256="0"),
            parity=Parity(largest_difference=0, tolerance=1, compared_rows=1), accuracy=None,
            sample=Sample(request="light.png"), serving=Serving(), built_with={},
        )  # fmt: skip
        record(store, f"m{at}", "1", entry)
        models.append(model)
    return store, models


def seconds_for_each(store: Store, models: list[Path]) -> float:
    """Seconds of the processor for each spec to see that nothing changed; the least of three."""
    specs = [find_spec(str(model)) for model in models]
    found = []
    for _ in range(3):
        began = time.process_time()
        assert all(unchanged(Order(spec, "1"), store) for spec in specs)
        found.append((time.process_time() - began) / len(specs))
    return min(found)


def test_two_hundred_specs_cost_as_much_each_as_ten(tmp_path: Path) -> None:
    """Seeing that nothing changed is linear in the number of specs."""
    few, many_more = seconds_for_each(*many(tmp_path / "few", 10)), seconds_for_each(*many(tmp_path / "many", 200))
    assert many_more < 2 * few


def test_what_has_not_changed_needs_no_torch(tmp_path: Path) -> None:
    """Neither by name, nor as deployed, nor for a server that starts: torch's import would end this process."""
    store, (model,) = many(tmp_path, 1)
    deployment = tmp_path / "deployment.yaml"
    deployment.write_text(json.dumps({"models": {"m0": {"spec": str(model), "default": "1", "versions": {"1": {}}}}}))
    (tmp_path / "without" / "torch").mkdir(parents=True)
    (tmp_path / "without" / "torch" / "__init__.py").write_text("raise SystemExit('torch was imported')")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path / 'without'}{os.pathsep}{paths.ROOT}"}
    for wanted in ([str(model)], ["--deployed", "--deployment", str(deployment)]):
        command = [sys.executable, str(paths.ROOT / "scripts" / "build_mar.py"), *wanted, "--store", str(store.folder)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, "nothing has changed" in done.stderr) == (0, True), done.stderr
    code = f"from marina.store.build import *; ensure(find_spec({str(model)!r}), '1', Store(Path({str(store.folder)!r})))"
    code = f"from pathlib import Path; from marina.store.spec import find_spec; {code}"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_all_is_every_spec_of_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """--all goes through model_store/specs, beside the specs that are named."""
    store, models = many(tmp_path, 3)
    specs = tmp_path / "specs"
    for model in models[:2]:
        shutil.move(model, specs / model.name)
    monkeypatch.setattr(paths, "SPECS", specs)
    done = call_script(capsys, "build_mar", "--all", models[2], "--store", store.folder, "--json")
    assert done.code == 0
    assert [(row["model"], row["outcome"]) for row in json.loads(done.out)] == [
        ("m2", "unchanged"),
        ("m0", "unchanged"),
        ("m1", "unchanged"),
    ]
