"""docs/migrating.md, typed in from top to bottom by someone who comes with an archive, a configuration and a handler."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import torch
from documents import Command, blocks, commands
from handlerkit.testing import Worker, pack
from pictures import plain
from servers import READY, Serving, eventually, serving
from stock_archives import write_cats
from torch import nn

from marina import paths
from marina.paths import Store
from marina.serving.free_ports import free_ports

PAGE = paths.ROOT / "docs" / "migrating.md"
SERVE = "python scripts/serve_models.py --deployment mine.yaml"
NETWORK = """
from torch import nn


class Shade(nn.Module):
    def __init__(self):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.scale = nn.Linear(1, 1)

    def forward(self, images):
        return self.scale(self.pool(images).flatten(1))
"""
OF_A_STORE = ("build_mar", "check_store", "register_model")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the person has, and what the page tells them to write."""
    folder = write_cats(tmp_path_factory.mktemp("home"))
    deployment, spec = blocks(PAGE, "yaml")
    before, after = blocks(PAGE, "python")
    (folder / "config.properties").write_text(blocks(PAGE, "properties")[0])
    (folder / "mine.yaml").write_text(deployment)
    (folder / "theirs.py").write_text(before)
    (folder / "shades").mkdir()
    (folder / "shades" / "model.yaml").write_text(spec)
    (folder / "shades" / "shades.py").write_text(after)
    (folder / "shades" / "network.py").write_text(NETWORK)
    (folder / "shades" / "light.png").write_bytes(plain("L", (9, 9), 255))
    torch.save({"scale.weight": torch.ones(1, 1), "scale.bias": torch.zeros(1)}, folder / "shades.pth")
    return folder


@pytest.fixture(scope="module")
def store(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store of the page's own: what it adopts and builds is no business of other tests."""
    own = Store(tmp_path_factory.mktemp("migrating") / "store")
    shutil.copytree(store.folder, own.folder)
    return own


@pytest.fixture(scope="module")
def served(home: Path, store: Store) -> Iterator[Serving]:
    """The commands up to the one that serves, then that one."""
    before = commands(PAGE)[: [command.line for command in commands(PAGE)].index(SERVE)]
    assert len(before) == 2
    for command in before:
        check(command, typed(command, home, store, {}))
    with serving(free_ports(), store, home / "server", "--deployment", home / "mine.yaml") as started:
        started.wait_for_output(READY)
        yield started


def typed(command: Command, home: Path, store: Store, environment: dict[str, str]) -> str:
    """What a command prints in the person's folder, the repository's scripts and store in the place of theirs."""
    line = command.line.replace("scripts/", f"{paths.ROOT}/scripts/")
    for name in OF_A_STORE:
        line = line.replace(f"{name}.py", f"{name}.py --store {store.folder}")
    for api, port in (("INFERENCE", 8080), ("METRICS", 8082)):
        line = line.replace(f":{port}/", f":{environment.get(f'{api}_PORT', port)}/")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    variables = os.environ | environment | {"PATH": path}
    done = subprocess.run(["bash", "-c", line], cwd=home, env=variables, stdout=-1, stderr=-2, text=True, check=False)
    return done.stdout


def check(command: Command, printed: str) -> None:
    assert command.printed(printed), f"$ {command.line}\nthe page says:\n{command.output}\nit prints:\n{printed}"


@pytest.mark.timeout(600)
def test_every_command_prints_what_the_page_says(served: Serving, home: Path, store: Store) -> None:
    """In its order, in a folder with nothing of ours in it."""
    lines = [command.line for command in commands(PAGE)]
    metrics = served.url("/metrics", "metrics")
    for command in commands(PAGE)[lines.index(SERVE) + 1 :]:
        if "/metrics" in command.line:
            assert eventually(lambda: requests.get(metrics, timeout=30).text.count('refusals_total{model_name="shades"') == 1)
        check(command, typed(command, home, store, served.environment))


class Shade(nn.Module):
    """The network of the page, traced for the handler as it was."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((1, 2, 3))[:, None]


def test_the_handler_as_it_was_fails_a_batch_for_one_row(home: Path, tmp_path: Path) -> None:
    """What the page says of a BaseHandler: the bad row costs its neighbour the answer."""
    torch.jit.trace(Shade(), torch.zeros(2, 1, 4, 4)).save(str(tmp_path / "model.pt"))
    archive = pack(tmp_path / "archive", home / "theirs.py", tmp_path / "model.pt")
    light = (home / "shades" / "light.png").read_bytes()
    with Worker.load(archive) as worker:
        assert worker.ask(light)[0].body == {"light": 1.0, "dark": 0.0}
        assert [answer.status for answer in worker.ask(light, b"no image")] == [503, 503]
