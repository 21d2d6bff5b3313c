"""The index and the bill of materials say what an archive is made of, and where that comes from."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from models import write_model

from marina import paths
from marina.digests import file_digest
from marina.paths import Store
from marina.store.bill import bill_of
from marina.store.index import Entry, Weights, find_entry, read_index, verified_archive
from marina.store.inputs import kit_digest
from marina.store.installed import licence_of, packages_of
from marina.store.provenance import commit_of, with_origin
from marina.store.spec import find_spec

WEIGHTS = {"licence": "CC-BY-4.0", "origin": "trained here, on two pictures"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Path]:
    """A store with a model of a git repository in it."""
    folder = tmp_path_factory.mktemp("bill")
    versions = {"1": {"source": {"network": "network.py"}, "runtime": "torchscript"}}
    model = write_model(folder / "repository" / "brightness", weights=WEIGHTS, versions=versions)
    _git(model, "init", "-q")
    _git(model, "add", ".")
    _git(model, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", "first")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        done = subprocess.run(_command(model, folder / "store"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Store(folder / "store"), model


def _command(model: Path, store: Path) -> list[str]:
    return [sys.executable, str(paths.ROOT / "scripts" / "build_mar.py"), str(model), "--store", str(store)]


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def bill(store: Store) -> dict[str, Any]:
    entry = find_entry(store, "brightness", "1")
    assert entry.bill is not None
    content: dict[str, Any] = json.loads((store.sboms / entry.bill.file).read_text())
    return content


def test_the_bill_is_valid_and_the_index_has_its_digest(built: tuple[Store, Path]) -> None:
    """CycloneDX 1.6 by its own schema; it lies beside the archives, not among what TorchServe is given."""
    store, _ = built
    entry = find_entry(store, "brightness", "1")
    assert entry.bill is not None
    assert file_digest(store.sboms / entry.bill.file) == entry.bill.sha256
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str((store.sboms / entry.bill.file).read_text()) is None
    assert [path.name for path in store.archives.iterdir()] == ["brightness-1.mar"]


def test_the_bill_names_model_weights_kit_and_packages(built: tuple[Store, Path]) -> None:
    """With digests, licences, origin, and an address for each package that a worker used; nothing of Marina's own side."""
    store, _ = built
    entry, content = find_entry(store, "brightness", "1"), bill(store)
    model = content["metadata"]["component"]
    assert (model["type"], model["hashes"][0]["content"]) == ("machine-learning-model", entry.sha256)
    parts = {part["name"]: part for part in content["components"]}
    weights = parts[entry.weights.name]
    assert (weights["licenses"][0]["license"]["id"], weights["description"]) == (WEIGHTS["licence"], WEIGHTS["origin"])
    assert weights["hashes"][0]["content"] == entry.weights.sha256
    assert parts["handlerkit"]["hashes"][0]["content"] == kit_digest()
    assert parts["torch"]["purl"] == f"pkg:pypi/torch@{entry.built_with['torch']}"
    assert "licenses" in parts["pillow"]
    assert not {"marina", "pytest", "pydantic", "onnxruntime"} & set(parts)


def test_the_bill_bears_no_time_and_no_place(built: tuple[Store, Path]) -> None:
    """The same archive has the same bill, wherever and whenever it is written."""
    store, _ = built
    entry = find_entry(store, "brightness", "1")
    package = packages_of([re.__file__, pytest.__file__, json.__file__])
    assert bill_of("brightness", "1", entry, package) == bill_of("brightness", "1", entry, package)
    text = json.dumps(bill(store))
    assert "timestamp" not in text
    assert str(store.folder.parent) not in text


def test_the_entry_says_where_the_archive_comes_from(built: tuple[Store, Path]) -> None:
    """Commit, kit, licence and origin of the weights, and what a worker takes to load it."""
    store, model = built
    entry = find_entry(store, "brightness", "1")
    assert entry.origin is not None
    assert entry.load is not None
    assert (entry.origin.commit, entry.origin.changed) == (_git(model, "rev-parse", "HEAD"), False)
    assert entry.origin.kit_sha256 == kit_digest()
    assert (entry.weights.licence, entry.weights.origin) == (WEIGHTS["licence"], WEIGHTS["origin"])
    assert entry.load.memory_bytes > entry.load.own_memory_bytes > 50e6
    assert 0 < entry.load.seconds < entry.origin.seconds
    assert 0 < (entry.network_bytes or 0) < entry.size_bytes


def test_a_changed_spec_and_one_outside_of_git_are_told_apart(built: tuple[Store, Path], tmp_path: Path) -> None:
    """A commit is not the whole truth where files differ from it; without git there is none."""
    _, model = built
    shutil.copytree(model, tmp_path / "changed")
    (tmp_path / "changed" / "new.txt").touch()
    assert commit_of(find_spec(str(tmp_path / "changed"))) == (_git(model, "rev-parse", "HEAD"), True)
    shutil.rmtree(tmp_path / "changed" / ".git")
    assert commit_of(find_spec(str(tmp_path / "changed"))) == (None, None)


def test_weights_of_the_command_line_have_no_licence_of_the_spec(built: tuple[Store, Path]) -> None:
    """The spec speaks of its own weights; of those that a person gives it knows nothing."""
    found = find_spec(str(built[1]))
    given = Weights(source="file", name="mine.pt", sha256="0", chosen=True)
    assert with_origin(given, found, "1") == given


def test_the_origin_of_torchvisions_weights_is_known() -> None:
    """The address that they are fetched from; a licence only where torchvision names one."""
    weights = Weights(source="torchvision", name="resnet18 IMAGENET1K_V1", sha256="0")
    known = with_origin(weights, find_spec("resnet18-imagenet"), "1.0")
    assert known.licence is None
    assert (known.origin or "").startswith("https://download.pytorch.org/models/resnet18-")


def test_packages_are_found_by_their_files() -> None:
    """Each by the record of what it installed; a file of nobody's is left out; licences as SPDX where they are so written."""
    found = {package.metadata["Name"].lower(): package for package in packages_of([pytest.__file__, json.__file__, __file__])}
    assert list(found) == ["pytest"]
    assert licence_of(found["pytest"]) == "MIT"


def test_an_older_index_is_read_and_its_archives_are_served(built: tuple[Store, Path], tmp_path: Path) -> None:
    """What an older Marina did not record is empty; what it built is believed as before."""
    store, _ = built
    old = Store(tmp_path / "old")
    shutil.copytree(store.archives, old.archives)
    content = json.loads(store.index.read_text())
    del content["placing"]
    entry = content["models"]["brightness"]["1"]
    for name in ("bill", "origin", "load", "network_bytes"):
        del entry[name]
    del entry["weights"]["licence"], entry["weights"]["origin"]
    old.index.write_text(json.dumps(content))
    read: Entry = read_index(old).models["brightness"]["1"]
    assert (read.bill, read.origin, read.load, read.weights.licence) == (None, None, None, None)
    assert verified_archive(old, read) == old.archives / "brightness-1.mar"
