"""Models with their samples, a TorchServe that has them all, and what was measured."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
from parity_roads import Sampled
from parity_table import MODELS
from roads_environment import PYTHON, use_packages
from ruamel.yaml import YAML
from scripts_of_ours import run_script
from servers import READY, Serving, serving

from marina.paths import Store
from marina.roads.libtorch import TEMPLATES
from marina.serving.free_ports import free_ports

BUILD_SECONDS = 1500


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
def sampled(
    request: pytest.FixtureRequest, specs_store: Store, tmp_path_factory: pytest.TempPathFactory, classify: Callable[[], Path]
) -> dict[str, Sampled]:
    """The models that are asked for, with their samples; their archives are built."""
    asked = {item.callspec.params.get("model") for item in request.session.items if hasattr(item, "callspec")}
    folder, made = tmp_path_factory.mktemp("parity"), {}
    for model in (model for model in MODELS if model in asked):
        done = run_script("build_mar", model.name, *model.given, "--store", specs_store.folder, seconds=BUILD_SECONDS)
        assert done.code == 0, done.err
        (folder / model.name).mkdir()
        made[model.name] = Sampled(model, specs_store, folder / model.name, classify)
    return made


@pytest.fixture(scope="session")
def server(sampled: dict[str, Sampled], specs_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A TorchServe that has them all."""
    folder = tmp_path_factory.mktemp("torchserve")
    models = {one.model.name: {"default": one.model.version, "versions": {one.model.version: {}}} for one in sampled.values()}
    with (folder / "deployment.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump({"models": models}, file)
    with serving(free_ports(), specs_store, folder / "server", "--deployment", folder / "deployment.yaml") as started:
        started.wait_for_output(READY, BUILD_SECONDS)
        yield started
