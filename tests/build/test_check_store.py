"""check_store.py says what is wrong with a store and its specs, and what to do; it says nothing where nothing is."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostile_archives import manifest, write_zip
from models import SPEC, write_model
from scripts_of_ours import Ended, call_script, run_script

from marina import paths
from marina.digests import file_digest
from marina.errors import MarinaError
from marina.paths import Store
from marina.serving.deployment import DeployedVersion, Wanted
from marina.serving.inference import Inference
from marina.serving.management import Management
from marina.serving.service import Server, bring_into_service
from marina.store.build import is_current
from marina.store.contents import look_into
from marina.store.index import Entry, find_entry, read_index, record
from marina.store.inputs import inputs_digest
from marina.store.samples import sample_of_entry
from marina.store.spec import find_spec

ARCHIVE = "brightness-1.mar"
Change = Callable[[Store], object]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Path]:
    """A store with one archive, and the folder of its spec."""
    folder = tmp_path_factory.mktemp("built")
    model = write_model(folder / "brightness", versions={"1": SPEC["versions"]["1"]})
    done = run_script("build_mar", model, "--store", folder / "store")
    assert done.code == 0, done.err
    return Store(folder / "store"), model


@pytest.fixture
def store(built: tuple[Store, Path], tmp_path: Path) -> Store:
    """A copy of it, to be damaged."""
    shutil.copytree(built[0].folder, tmp_path / "store")
    return Store(tmp_path / "store")


def check(capsys: pytest.CaptureFixture[str], store: Store, *arguments: str | Path) -> Ended:
    return call_script(capsys, "check_store", "--store", store.folder, *arguments)


def findings(capsys: pytest.CaptureFixture[str], store: Store, *arguments: str | Path) -> list[tuple[str, str]]:
    done = check(capsys, store, "--json", *arguments)
    found = [(one["kind"], one["subject"]) for one in json.loads(done.out)]
    assert done.code == (1 if found else 0), done.err
    return found


def test_a_good_store_has_nothing_wrong(built: tuple[Store, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0, and a program gets an empty list; with the specs of this repository, all of which are good."""
    done = check(capsys, built[0])
    assert (done.code, done.out, done.err) == (0, "", "nothing is wrong\n")
    assert findings(capsys, built[0]) == []


def test_checking_does_not_import_torch(built: tuple[Store, Path]) -> None:
    """So that it takes no seconds in a job that has nothing else to do."""
    code = f"import sys, check_store; check_store.main(['--store', {str(built[0].folder)!r}]); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=paths.ROOT / "scripts", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_official_archiver_takes_what_ours_names(built: tuple[Store, Path]) -> None:
    """Its own model of a manifest makes the same manifest of ours."""
    from model_archiver.manifest_components.manifest import Manifest
    from model_archiver.manifest_components.model import Model

    found = look_into(built[0].archives / ARCHIVE).model
    theirs = Model(
        found.name, found.serialized_file, found.handler, found.model_file, found.version, config_file=found.config_file
    )
    content = json.loads(str(Manifest("python", theirs)))
    assert content["model"] == found.model_dump(by_alias=True, exclude_none=True)


def change_entry(store: Store, **changes: Any) -> None:
    record(store, "brightness", "1", find_entry(store, "brightness", "1").model_copy(update=changes))


def damage(store: Store, change: Callable[[bytes], bytes]) -> None:
    path = store.archives / ARCHIVE
    path.write_bytes(change(path.read_bytes()))


def bill_of(store: Store) -> Path:
    (bill,) = store.sboms.iterdir()
    return bill


def disguise(store: Store) -> None:
    """An index that was made to fit an archive of another name."""
    path = write_zip(store.archives / ARCHIVE)
    change_entry(store, sha256=file_digest(path), size_bytes=path.stat().st_size)


def leave(store: Store) -> None:
    """What a killed build leaves."""
    (store.folder / ".build-x").mkdir()
    (store.weights / "a.7.partial").touch()


def more_weights(store: Store) -> None:
    """A file and a folder that nothing uses."""
    (store.weights / "old-123.pt").write_bytes(b"x")
    (store.weights / "tmp").mkdir()


DAMAGES: dict[str, tuple[Change, list[tuple[str, str]], str]] = {
    "one-byte": (
        lambda store: damage(store, lambda content: content[:99] + bytes([content[99] ^ 1]) + content[100:]),
        [("tampered", "brightness 1")],
        "--version 1 --force",
    ),
    "longer": (
        lambda store: damage(store, lambda content: content + b"x"),
        [("tampered", "brightness 1")],
        "--version 1 --force",
    ),
    "shorter": (
        lambda store: damage(store, lambda content: content[:-9]),
        [("truncated", "brightness 1")],
        "brightness-1.mar has ",
    ),
    "gone": (
        lambda store: (store.archives / ARCHIVE).unlink(),
        [("missing", "brightness 1")],
        "brightness-1.mar is not in archives/",
    ),
    "bill-gone": (lambda store: bill_of(store).unlink(), [("missing", "brightness 1")], ".cdx.json is gone"),
    "bill-changed": (
        lambda store: bill_of(store).write_text("{}"),
        [("tampered", "brightness 1")],
        "is not the file that was written",
    ),
    "bill-of-nothing": (
        lambda store: shutil.copy(bill_of(store), store.sboms / "old.cdx.json"),
        [("orphaned", "sboms/old.cdx.json")],
        "no archive has it beside it",
    ),
    "lies": (disguise, [("unsafe", "brightness 1")], "it is the model 'good'; required 'brightness'"),
    "outside": (
        lambda store: change_entry(store, archive="../brightness-1.mar"),
        [("unsafe", "brightness 1"), ("orphaned", "archives/brightness-1.mar")],
        "lies outside of archives/",
    ),
    "stale": (
        lambda store: change_entry(store, inputs_sha256="0"),
        [("stale", "brightness 1")],
        "what it was built from has changed",
    ),
    "spec-gone": (
        lambda store: change_entry(store, spec="/nowhere/brightness"),
        [("no spec", "brightness 1")],
        "build from where its spec lies now",
    ),
    "spec-of-another": (
        lambda store: change_entry(store, spec="digits"),
        [("no spec", "brightness 1")],
        "digits is now the spec of digits, versions 1.0, 2.0",
    ),
    "unknown-archive": (
        lambda store: write_zip(store.archives / "other-1.mar"),
        [("orphaned", "archives/other-1.mar")],
        "--adopt FILE",
    ),
    "unused-weights": (
        more_weights,
        [("unused", "weights/old-123.pt"), ("unused", "weights/tmp")],
        "no archive was built with it",
    ),
    "leftovers": (
        leave,
        [("leftover", ".build-x"), ("leftover", "weights/a.7.partial")],
        "delete it, unless a build is running",
    ),
    "index-no-json": (lambda store: store.index.write_text("{"), [("damaged", "index.json")], "adopt again what was adopted"),
    "index-of-others": (lambda store: store.index.write_text('{"models": {"a": 1}}'), [("damaged", "index.json")], "delete it"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_wrong_is_found(name: str, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """That, nothing else, and what to do; exit code 1."""
    change, expected, text = DAMAGES[name]
    change(store)
    assert findings(capsys, store) == expected
    (finding, *_) = json.loads(check(capsys, store, "--json").out)
    assert text in f"{finding['found']}: {finding['remedy']}"
    assert all(subject in check(capsys, store).out for _, subject in expected)


def test_what_was_pulled_needs_no_spec(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Its entry has a spec's name alone; a server that only pulls has none."""
    change_entry(store, spec="brightness")
    assert findings(capsys, store) == []


def test_without_digests_sizes_are_compared(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """A look of milliseconds: it sees a shorter file and a bad layout, and not a byte that was changed inside."""
    damage(store, lambda content: content[:-5000] + bytes([content[-5000] ^ 1]) + content[-4999:])
    assert findings(capsys, store) == [("tampered", "brightness 1")]
    assert findings(capsys, store, "--no-digests") == []
    damage(store, lambda content: content[:-9])
    assert findings(capsys, store, "--no-digests") == [("truncated", "brightness 1")]


def test_a_byte_flipped_anywhere_is_refused_everywhere(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """In headers, data and the list of files: the check names it, and it is not registered, asked or taken for current."""
    good = (store.archives / ARCHIVE).read_bytes()
    found, entry = find_spec(read_index(store).models["brightness"]["1"].spec or ""), find_entry(store, "brightness", "1")
    server = Server(Management("http://127.0.0.1:1"), Inference("http://127.0.0.1:1"), store)
    middle, listed = good.index(b"PK\3\4", 1), good.index(b"PK\1\2")
    for position in (0, 7, 14, 26, 35, middle + 14, len(good) // 3, len(good) // 2, listed + 8, listed + 42, -20, -6, -1):
        changed = bytearray(good)
        changed[position] ^= 0x40
        (store.archives / ARCHIVE).write_bytes(changed)
        assert findings(capsys, store, entry.spec or "") == [("tampered", "brightness 1")]
        assert not is_current(found, "1", store)
        for action in (
            lambda: bring_into_service(server, Wanted("brightness", "1", DeployedVersion())),
            lambda: sample_of_entry(store, entry),
        ):
            with pytest.raises(MarinaError, match="is not the archive that was built"):
                action()


SPECS: list[tuple[dict[str, Any], dict[str, str], str]] = [
    ({"handler": "mine.py"}, {}, "names mine.py, but"),
    ({"handler": "mine.py"}, {"mine.py": "class:"}, "mine.py: is no Python: invalid syntax"),
    ({}, {"network.py": "\0"}, "network.py: is no Python: "),
    ({"training": "no.py"}, {}, "names no.py, but"),
    ({"labels": "labels.json"}, {"labels.json": "{"}, 'labels.json: required ["a", …]'),
    ({"files": ["no.txt"]}, {}, "names no.txt, but"),
    ({"sample": {"request": "empty"}}, {"empty": ""}, "empty: is empty"),
    ({"sample": {"request": "no.png"}}, {}, "names no.png, but"),
    ({"handlr": "x"}, {}, "unknown key 'handlr': did you mean 'handler'?"),
]


@pytest.mark.parametrize(("changes", "files", "message"), SPECS)
def test_a_spec_is_checked_against_its_files(
    changes: dict[str, Any], files: dict[str, str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By path, without building it, with one finding for each thing that is missing or cannot be read."""
    model = write_model(tmp_path / "model", files, **changes)
    (tmp_path / "store").mkdir()
    done = check(capsys, Store(tmp_path / "store"), model, "--json")
    assert done.code == 1
    (finding,) = json.loads(done.out)
    assert finding["kind"] == "spec"
    assert message in finding["found"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--store", "/nowhere"], "--store /nowhere: no such folder"),
        (["--label", "x"], "--sample, --label and --replace go with --adopt FILE"),
        (["--adopt", "no.mar"], "--adopt no.mar: no such file"),
        (["--adopt", "pyproject.toml", "--sample", "no.png"], "--sample no.png: no such file"),
        (["--adopt", "pyproject.toml", "--label", "x"], "--label goes with --sample REQUEST"),
        (["--adopt", "pyproject.toml", "digits"], "--adopt takes one archive: leave out specs and --no-digests"),
    ],
)
def test_a_wrong_command_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2."""
    done = call_script(capsys, "check_store", *arguments)
    assert (done.code, done.error) == (2, message)


def many(folder: Path, number: int, like: Entry) -> Store:
    """A store with so many archives, each with a spec of its own."""
    store = Store(folder / "store")
    store.archives.mkdir(parents=True)
    models = {}
    for count in range(number):
        name = f"model{count}"
        found = find_spec(str(write_model(folder / name, name=name)))
        path = write_zip(store.archives / f"{name}-1.mar", content=manifest(modelName=name, modelVersion="1"))
        built = {"archive": path.name, "sha256": file_digest(path), "size_bytes": path.stat().st_size}
        about = {"inputs_sha256": inputs_digest(found, "1"), "spec": str(found.folder), "bill": None}
        models[name] = {"1": like.model_copy(update=built | about).model_dump()}
    store.index.write_text(json.dumps({"models": models}))
    return store


def test_two_hundred_specs_cost_no_more_each_than_twenty(
    built: tuple[Store, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten times as many archives and specs take no more than ten times as long."""
    like = find_entry(built[0], "brightness", "1")
    stores = [many(tmp_path / str(number), number, like) for number in (20, 200)]
    seconds = []
    for store in stores:
        started = time.process_time()
        assert findings(capsys, store) == []
        seconds.append(time.process_time() - started)
    assert seconds[1] < 10 * seconds[0]
