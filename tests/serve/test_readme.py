"""The README's commands, typed in as they stand."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from documents import Command, commands
from servers import READY, Serving, serving

from marina import paths
from marina.paths import Store
from marina.serving.free_ports import free_ports
from marina.serving.ports import Ports

README = commands(paths.ROOT / "README.md")
ELSEWHERE = {
    "make serve": "tests/stack/test_clean_clone.py",
    "docker compose up --wait": "tests/stack/test_compose.py",
    "docker compose down": "tests/stack/test_compose.py",
}


@pytest.fixture(scope="module")
def readme_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """What ``make serve`` starts once the environment is made: the repository's own store and deployment."""
    (Store().archives / "vgg16-imagenet-1.0.mar").unlink(missing_ok=True)  # of an earlier run: it would not be built again
    with serving(free_ports(), Store(), tmp_path_factory.mktemp("readme")) as started:
        started.wait_for_output(READY)
        yield started


@pytest.mark.timeout(600)
def test_every_command_prints_what_the_readme_says(readme_server: Serving) -> None:
    """From top to bottom, in one shell's order; ``...`` in the README stands for anything."""
    for command in README:
        if command.line not in ELSEWHERE:
            printed = run(command, readme_server)
            assert command.printed(printed), f"$ {command.line}\nthe README says:\n{command.output}\nit prints:\n{printed}"


def test_what_is_not_run_here_is_run_elsewhere() -> None:
    """The exceptions are commands of the README, and name the test that runs them."""
    assert set(ELSEWHERE) <= {command.line for command in README}
    for line, test in ELSEWHERE.items():
        assert line.split()[-1] in (paths.ROOT / test).read_text()


def run(command: Command, server: Serving) -> str:
    """Run a command in bash with the environment activated, the ports moved to the server's."""
    line = command.line
    for (_, default), (_, moved) in zip(_defaults(), server.ports.by_variable(), strict=True):
        line = line.replace(f":{default}/", f":{moved}/")
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=paths.ROOT,
        env=os.environ | server.environment | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if "scripts/" in line else subprocess.DEVNULL,
        text=True,
        timeout=300,
        check=False,
    )
    return done.stdout


def _defaults() -> list[tuple[str, int]]:
    return [(name.upper(), int(field.default)) for name, field in Ports.model_fields.items()]
