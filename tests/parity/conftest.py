"""Models with their samples, servers that have them, and what was measured."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
from parity_roads import Sampled
from parity_served import Servers, build
from parity_table import Model
from roads_environment import PYTHON, use_packages

from marina.paths import Store
from marina.roads.libtorch import TEMPLATES


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--update`` writes what was measured into docs/roads.md."""
    parser.addoption("--update", action="store_true", help="write the table that was measured into docs/roads.md")


@pytest.fixture(scope="session", autouse=True)
def packages() -> None:
    """Packages that only roads need."""
    assert PYTHON.exists(), f"{PYTHON} is missing: make setup-roads"
    use_packages()


@pytest.fixture(scope="session")
def measured() -> dict[tuple[str, str], float]:
    """The largest differences that this run has seen, by road and model."""
    return {}


@pytest.fixture(scope="session")
def classify(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """The C++ program, built once."""

    @cache
    def built() -> Path:
        build = tmp_path_factory.mktemp("classify")
        configure = ["cmake", "-S", str(TEMPLATES), "-B", str(build), "-D", f"TORCH={Path(torch.__file__).parent}"]
        for command in (configure, ["cmake", "--build", str(build)]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
        return build / "classify"

    return built


@pytest.fixture(scope="session")
def specs_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """In place of the one that all tests have: with VGG16, it is removed in the end."""
    folder = tmp_path_factory.mktemp("specs")
    yield Store(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def all_sampled() -> dict[str, Sampled]:
    """The models that were built so far, by name."""
    return {}


@pytest.fixture
def sampled(
    model: Model,
    all_sampled: dict[str, Sampled],
    specs_store: Store,
    tmp_path_factory: pytest.TempPathFactory,
    classify: Callable[[], Path],
) -> Sampled:
    """The test's model with its samples; its archive is built."""
    if model.name not in all_sampled:
        done = build(model, model.found.folder, model.version, specs_store)
        assert done.code == 0, done.err
        all_sampled[model.name] = Sampled(model, specs_store, tmp_path_factory.mktemp(model.name), classify)
    return all_sampled[model.name]


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """TorchServe with what a test asks for."""
    made = Servers(tmp_path_factory.mktemp("torchserve"))
    yield made
    made.stop()
