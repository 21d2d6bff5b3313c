"""A task's network by every runtime: trained once, built for each, asked in batches. docs/tasks.md has the table."""

from __future__ import annotations

import re
import shutil
from typing import Any

import pytest
from handlerkit.runtimes import RUNTIMES
from handlerkit.testing import Worker, check_rows
from ruamel.yaml import YAML
from scripts_of_ours import run_script

from marina import paths
from marina.paths import Store
from marina.store.index import read_index

SPECS = {"wine": ("wine.json", b'{"data": [1, 2, 3]}'), "docstrings": ("docstring.txt", b"\xff\xfe")}
TOLERANCE = 1e-4


@pytest.fixture(scope="module", params=SPECS)
def cells(request: pytest.FixtureRequest, specs_store: Store, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Store]:
    """A spec as it is shipped, with its weights, but built for all runtimes."""
    name = str(request.param)
    folder = tmp_path_factory.mktemp("cells")
    assert run_script("build_mar", name, "--version", "1", "--store", specs_store.folder).code == 0
    shutil.copytree(paths.SPECS / name, folder / name)
    shutil.copytree(specs_store.weights, folder / "store" / "weights")
    yaml, file = YAML(typ="safe", pure=True), folder / name / "model.yaml"
    spec: dict[str, Any] = yaml.load(file)
    spec["versions"] = {runtime: {"source": {"network": "network.py"}, "runtime": runtime} for runtime in RUNTIMES}
    with file.open("w") as opened:
        yaml.dump(spec, opened)
    done = run_script("build_mar", folder / name, "--store", folder / "store")
    assert done.code == 0, done.err
    return name, Store(folder / "store")


@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")  # of exporters and of TorchServe's loader
def test_every_runtime_of_a_task_answers_alike_and_each_row_alone(cells: tuple[str, Store]) -> None:
    """Within 1e-4 of the eager network, as accurate as it, and a bad row costs its neighbours nothing."""
    name, store = cells
    entries = read_index(store).models[name]
    assert set(entries) == set(RUNTIMES)
    sample, bad = SPECS[name]
    good = (paths.SPECS / name / sample).read_bytes()
    for runtime, entry in entries.items():
        assert entry.parity is not None
        assert entry.parity.largest_difference <= TOLERANCE, runtime
        assert entry.accuracy == entries["eager"].accuracy, runtime
        with Worker.load(store.archives / entry.archive) as worker:
            check_rows(worker, good=good, bad=[bad], without=["explain"])


def test_the_docs_have_a_row_for_each_handler() -> None:
    """The table of docs/tasks.md names every handler, and says of every runtime what is so."""
    text = (paths.ROOT / "docs" / "tasks.md").read_text()
    head = re.search(r"^\| handler \| (`eager`.*) \|$", text, re.MULTILINE)
    assert head is not None
    assert re.findall(r"`(\w+)`", head[1]) == list(RUNTIMES)
    rows = re.findall(r"^\| `(\w+)`[^|]* \|((?: (?:yes|no|script) \|)+)$", text, re.MULTILINE)
    handlers = {path.stem for path in paths.HANDLERS.glob("*.py")}
    assert {name for name, _ in rows} == handlers
    assert all(len(cells.strip(" |").split("|")) == len(RUNTIMES) for _, cells in rows)
