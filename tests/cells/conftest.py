"""Every cell of the table of docs/tasks.md, built and served; the weights of a spec are trained once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from differences import Figure
from served_cells import Served, serve_network

from marina.paths import Store


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--update`` writes what was measured into docs/tasks.md."""
    parser.addoption("--update", action="store_true", help="write the table that was measured into docs/tasks.md")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out the cells that are refused; that they are is a test of its own."""
    items[:] = [item for item in items if not _is_refused(getattr(item, "callspec", None))]


def _is_refused(case: Any) -> bool:
    cell = case.params if case else {}
    return "served" in cell and cell.get("runtime") in cell["served"].refused


@pytest.fixture(scope="session")
def measured() -> dict[tuple[str, str], Figure]:
    """The figures of the cells that this run has measured, by network and runtime."""
    return {}


@pytest.fixture(scope="module")
def served(request: pytest.FixtureRequest, specs_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One network after the other, so that no more workers are in memory than there are runtimes."""
    with serve_network(request.param, specs_store, tmp_path_factory.mktemp("cells")) as started:
        yield started
