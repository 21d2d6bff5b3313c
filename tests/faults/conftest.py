"""A house on a small disk of its own, and what was measured of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_table import Outcome
from scripts_of_ours import run_script
from servers import READY, Serving, serving
from small_disks import small_disk

from marina.paths import Store
from marina.serving.free_ports import free_ports

DISK = "64m"


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--update`` writes what was measured into docs/reliability.md."""
    parser.addoption("--update", action="store_true", help="write what was measured into docs/reliability.md")


@pytest.fixture(scope="session")
def measured() -> dict[str, Outcome]:
    """What this run has seen, by the names of faults."""
    return {}


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A disk that can be filled."""
    with small_disk(tmp_path_factory.mktemp("disk"), DISK) as folder:
        yield folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Both versions of digits."""
    store = Store(tmp_path_factory.mktemp("store"))
    done = run_script("build_mar", "--deployed", "--store", store.folder)
    assert done.code == 0, done.err
    return store


@pytest.fixture(scope="module")
def house(store: Store, disk: Path) -> Iterator[Serving]:
    """What ``make serve`` serves; it will be hurt so often that restarts must not run out."""
    with serving(free_ports(), store, disk / "house", "--restarts", "20") as started:
        started.wait_for_output(READY)
        yield started
