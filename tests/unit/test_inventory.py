"""list_models.py says what there is: in specs, in the store, on a server, and how the three agree."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from models import write_model
from scripts_of_ours import Ended, call_script
from stores import add_version, make_store

from marina import paths
from marina.inventory import STATES, inventory, read_specs
from marina.paths import Store
from marina.serving.management import Running, Worker
from marina.store.index import read_index

NO_SERVER = "http://127.0.0.1:1"
List = Callable[..., Ended]


@pytest.fixture
def specs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of specs in place of the repository's: one, brightness."""
    monkeypatch.setattr(paths, "SPECS", tmp_path / "specs")
    return write_model(tmp_path / "specs" / "brightness").parent


@pytest.fixture
def store(specs: Path, tmp_path: Path) -> Store:
    """Version 1 is built, 2 is not."""
    store = Store(tmp_path / "store")
    add_version(store, specs / "brightness", "1")
    return store


@pytest.fixture
def list_models(store: Store, capsys: pytest.CaptureFixture[str]) -> List:
    return lambda *arguments: call_script(capsys, "list_models", *arguments, "--store", store.folder, "--management", NO_SERVER)


def states(done: Ended) -> dict[str, str]:
    """State by model and version."""
    assert done.code == 0, done.err
    return {f"{row['model']} {row['version']}".strip(): row["state"] for row in json.loads(done.out)}


def running(model: str, archive: str) -> Running:
    """A version as a server has it."""
    return Running(model, "1", archive, 1, 1, 2, (Worker("9000", "READY", 1), Worker("9001", "UNLOADING", 2)))


def test_versions_are_listed_with_what_was_measured(list_models: List) -> None:
    """A row for each version of each spec: built or not, of what weights, how good, how large, here since when."""
    heading, first, second = [" ".join(line.split()) for line in list_models().out.splitlines()]
    assert heading == "model version state served runtime precision weights accuracy MB here since"
    assert first.startswith("brightness 1 current torchscript fp32 trained top1 0.500 on 2 0.1 ")
    assert first.split()[-2] == datetime.now(UTC).astimezone().strftime("%Y-%m-%d")
    assert second == "brightness 2 not built"


def test_without_a_server_that_is_all(list_models: List) -> None:
    """It is said, and no fault."""
    done = list_models()
    assert (done.code, done.err) == (0, f"no server at {NO_SERVER}\n")


def test_json_has_all_that_is_known(list_models: List) -> None:
    """The whole entry, for programs."""
    first, second = json.loads(list_models("--json").out)
    assert (first["state"], first["entry"]["archive"], first["served"]) == ("current", "brightness-1.mar", [])
    assert datetime.fromisoformat(first["here_since"]).tzinfo is not None
    assert (second["state"], second["entry"], second["here_since"]) == ("not built", None, None)


def test_each_state_is_told(list_models: List, specs: Path, store: Store) -> None:
    """What has changed since it was built, what is gone, what is damaged, what has no spec here."""
    assert states(list_models("--json"))["brightness 1"] == "current"
    write_model(specs / "brightness", description="changed")
    assert states(list_models("--json"))["brightness 1"] == "stale"
    archive = store.archives / "brightness-1.mar"
    archive.write_bytes(b"half")
    assert states(list_models("--json"))["brightness 1"] == "damaged"
    archive.unlink()
    assert states(list_models("--json"))["brightness 1"] == "no archive"
    add_version(store, specs / "brightness", "1")
    shutil.rmtree(specs / "brightness")
    assert states(list_models("--json")) == {"brightness 1": "no spec"}


def test_a_wrong_spec_hides_no_other(list_models: List, specs: Path) -> None:
    """It is listed as wrong, its reason on stderr; also where a file that it names is gone."""
    write_model(specs / "brightness", verzions={})
    write_model(specs / "other", name="other")
    done = list_models("--json")
    assert states(done) == {"brightness 1": "wrong spec", "other 1": "not built", "other 2": "not built"}
    assert "unknown key 'verzions': did you mean 'versions'?" in done.err
    write_model(specs / "brightness", files=["gone.txt"])
    done = list_models("--json", "brightness")
    assert states(done) == {"brightness 1": "wrong spec", "brightness 2": "not built"}
    assert "names gone.txt, but" in done.err


def test_models_are_listed_by_name_or_by_path(list_models: List, specs: Path, tmp_path: Path) -> None:
    """A spec of one's own is named by its folder; an unknown name gets the nearest."""
    write_model(specs / "other", name="other")
    own = write_model(tmp_path / "own", name="mine")
    assert set(states(list_models("--json", "other"))) == {"other 1", "other 2"}
    assert set(states(list_models("--json", own))) == {"mine 1", "mine 2"}
    done = list_models("brigthness")
    assert done.error == "no model 'brigthness' in a spec, in the store or on the server: did you mean 'brightness'?"
    assert done.code == 2
    assert list_models(tmp_path).error == f"{tmp_path}: no model.yaml is there"


def test_a_spec_elsewhere_is_known_by_what_was_built_of_it(list_models: List, tmp_path: Path, store: Store) -> None:
    """So that own specs need not be named each time."""
    add_version(store, write_model(tmp_path / "own", name="mine"), "1")
    found = states(list_models("--json"))
    assert (found["mine 1"], found["mine 2"]) == ("current", "not built")


def test_what_is_served_is_told_by_its_archive(store: Store) -> None:
    """Under its own name or another; what runs from no archive of the store has a row of its own."""
    index = read_index(store)
    served = [running("brightness", "brightness-1.mar"), running("twin", "brightness-1.mar"), running("stranger", "s.mar")]
    rows = {(row.model, row.version): row for row in inventory(store, index, read_specs(index, []), served)}
    assert set(rows["brightness", "1"].served) == {"brightness", "twin"}
    assert rows["brightness", "1"].served["brightness"].ready_workers == 1
    assert rows["brightness", "2"].served == {}
    assert (rows["stranger", "1"].state, rows["stranger", "1"].entry) == ("not in store", None)


def test_every_state_is_explained(list_models: List, capsys: pytest.CaptureFixture[str]) -> None:
    """--help and docs/sharing.md say what each means."""
    with pytest.raises(SystemExit, match="0"):
        list_models("--help")
    said, written = " ".join(capsys.readouterr().out.split()), (paths.ROOT / "docs" / "sharing.md").read_text()
    for state, meaning in STATES.items():
        assert f"{state}: {meaning}" in said
        assert f"| {state} | {meaning} |" in written


def test_it_imports_no_torch() -> None:
    """Which would take seconds."""
    code = (
        "import sys; sys.path.insert(0, 'scripts'); import list_models;"
        f"list_models.main(['--management', '{NO_SERVER}']); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=paths.ROOT, capture_output=True, check=False).returncode == 0


def test_two_hundred_specs_cost_the_same_each_as_ten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processor time for each spec, measured in one run: no more than twice as much."""

    def each(count: int) -> float:
        monkeypatch.setattr(paths, "SPECS", tmp_path / str(count) / "store-specs")
        store = make_store(tmp_path / str(count) / "store", "m0")
        entry = read_index(store).model_dump(mode="json")["models"]["m0"]
        for number in range(1, count):
            shutil.copytree(paths.SPECS / "m0", paths.SPECS / f"m{number}")
            path = paths.SPECS / f"m{number}" / "model.yaml"
            path.write_text(path.read_text().replace("name: m0", f"name: m{number}"))
        store.index.write_text(json.dumps({"models": {f"m{number}": entry for number in range(count)}}))
        index = read_index(store)
        inventory(store, index, read_specs(index, []), [])  # what is read once for all
        before = time.process_time()
        index = read_index(store)
        rows = inventory(store, index, read_specs(index, []), [])
        spent = time.process_time() - before
        assert len(rows) == 2 * count
        return spent / count

    ten = min(each(10), each(10 + 1))
    assert each(200) < 2 * ten
