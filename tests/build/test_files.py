"""Files that a spec's handler reads travel in the archive, wherever they lie when it is built."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
from models import SPEC, write_model
from scripts_of_ours import call_script

from marina.paths import Store
from marina.store.build import is_current
from marina.store.inputs import inputs_digest
from marina.store.spec import find_spec


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package that must not be imported, with a file in it."""
    folder = tmp_path / "site" / "words_of_others"
    (folder / "data").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise SystemExit('imported')")
    (folder / "data" / "words.txt").write_text("cat\n")
    monkeypatch.syspath_prepend(str(folder.parent))
    return folder


def test_files_are_in_the_archive_by_their_own_names(tmp_path: Path, package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From beside the spec or from an installed package; when one changes, the archive is built anew."""
    files = ["more/rules.json", "words_of_others:data/words.txt"]
    (tmp_path / "model" / "more").mkdir(parents=True)
    model = write_model(tmp_path / "model", {"more/rules.json": "{}"}, files=files)
    store = Store(tmp_path / "store")
    assert call_script(capsys, "build_mar", model, "--version", "1", "--store", store.folder).code == 0
    archive = zipfile.ZipFile(store.archives / "brightness-1.mar")
    assert (archive.read("rules.json"), archive.read("words.txt")) == (b"{}", b"cat\n")
    found = find_spec(str(model))
    assert is_current(found, "1", store)
    before = inputs_digest(found, "1")
    (package / "data" / "words.txt").write_text("dog\n")
    assert not is_current(found, "1", store)
    assert inputs_digest(found, "1") != before


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["words.txt"], "names words.txt, but"),
        (["no_such_package:words.txt"], "'files' names no_such_package:words.txt, but no package 'no_such_package' is installed"),
        (["no.such.package:words.txt"], "but no package 'no.such.package' is installed"),
        (["words_of_others:words.txt"], "words_of_others/words.txt is no file"),
        (["light.png", "words_of_others:light.png"], "'files' has two of the name light.png"),
        (["more/model.pt"], "'files' has model.pt, as the archive names a part of its own; rename it"),
        (["more/sample"], "'files' has sample, as the archive names a part of its own; rename it"),
        (["more/image_classifier.py"], "'files' has image_classifier.py, as the archive names a part of its own; rename it"),
        (["model-config.yaml"], "'files' has model-config.yaml, as the archive names a part of its own; rename it"),
        (["json.py"], "the name 'json' hides the module of that name from the worker; rename the file"),
        (["my-rules.py"], "a Python file of an archive must be named like a module, for example my_rules.py"),
    ],
)
def test_a_file_that_cannot_travel_is_one_line(
    files: list[str], message: str, tmp_path: Path, package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is not there, or would take the place of something else."""
    (package / "light.png").touch()
    (tmp_path / "model" / "more").mkdir(parents=True)
    names = ["more/model.pt", "more/sample", "more/image_classifier.py", "model-config.yaml", "json.py", "my-rules.py"]
    version: dict[str, Any] = {"1": SPEC["versions"]["1"]}
    model = write_model(tmp_path / "model", dict.fromkeys(names, ""), versions=version, files=files)
    done = call_script(capsys, "build_mar", model, "--store", tmp_path / "store")
    assert done.code == 2
    assert message in done.error
    assert not list((tmp_path / "store" / "archives").iterdir())
