"""The short form of tests/cells: one network by every runtime, without a server, and the table of docs/tasks.md."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from bad_rows import bad_rows
from differences import FIGURES, NO, as_table, difference, read_table, table_text
from handlerkit.runtimes import RUNTIMES
from handlerkit.testing import Worker, check_rows
from scripts_of_ours import run_script
from task_table import BUILT, NETWORKS, TRACE

from marina import paths
from marina.paths import Store
from marina.store.index import read_index

WINE = next(network for network in NETWORKS if network.model == "wine")


@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")  # of exporters and of TorchServe's loader
def test_every_runtime_of_a_network_answers_alike_and_each_row_alone(specs_store: Store, tmp_path: Path) -> None:
    """Within the tolerance of the table's line, as accurate as the eager one, and a bad row costs its neighbours nothing."""
    assert run_script("build_mar", WINE.model, "--version", "1", "--store", specs_store.folder).code == 0
    store = Store(tmp_path / "store")
    shutil.copytree(specs_store.weights, store.weights)
    done = run_script("build_mar", WINE.copy_spec(tmp_path / WINE.model, WINE.held_by), "--store", store.folder)
    assert done.code == 0, done.err
    entries = read_index(store).models[WINE.model]
    assert set(entries) == set(RUNTIMES)
    answers = {}
    for runtime, entry in entries.items():
        assert entry.parity is not None
        assert entry.parity.largest_difference <= WINE.spec.tolerance, runtime
        assert entry.accuracy == entries["eager"].accuracy, runtime
        with Worker.load(store.archives / entry.archive) as worker:
            check_rows(worker, good=WINE.sample, bad=[bad_rows(WINE)[0].content], without=["explain"])
            (answers[runtime],) = worker.ask(WINE.sample)
    apart = {runtime: difference(answer.body, answers["eager"].body) for runtime, answer in answers.items()}
    assert max(apart.values()) <= WINE.answers, apart


def test_the_docs_have_a_row_for_each_handler() -> None:
    """Each handler has a line, with the tolerances that are tested; a cell is refused, or was measured within them."""
    handlers = {path.stem for path in paths.HANDLERS.glob("*.py")}
    assert {network.handler for network in NETWORKS} == handlers
    table = read_table()
    assert as_table(table) == table_text(), "write it anew: make cells UPDATE=1"
    assert {network.name: set(network.refused) - {TRACE} for network in NETWORKS} == {
        name: {runtime for runtime, cell in cells.items() if cell == NO} for name, cells in table.items()
    }
    for network, runtime in BUILT:
        found = FIGURES.match(table[network.name][runtime])
        assert found, (network.name, runtime)
        assert bool(found[1]) == (network.scripted and runtime == "torchscript")
        assert float(found[2]) <= network.spec.tolerance
        assert (found[3] is None) == (runtime == "eager")
        assert found[3] is None or float(found[3]) <= network.answers
