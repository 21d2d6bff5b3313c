"""The table that the other tests of this folder have measured, in docs/tasks.md."""

from __future__ import annotations

import pytest
from differences import Figure, as_table, read_table, table_text, write_table
from task_table import BUILT


def test_the_docs_have_the_table_that_was_measured(
    measured: dict[tuple[str, str], Figure], request: pytest.FixtureRequest
) -> None:
    """With --update it is written there. Figures are powers of ten; that none exceeds its tolerance is seen cell by cell."""
    if not measured:
        pytest.skip("this run has measured no cell")
    if request.config.getoption("--update"):
        write_table(as_table(read_table(), measured))
    assert as_table(read_table()) == table_text()
    found = {(str(network), runtime): read_table()[network.name][runtime] for network, runtime in BUILT}
    assert not [cell for cell in measured if "not measured" in found[cell]]
