"""From a clean clone, as a user who is not root and has nothing of ours: ``make serve``, and the README's first commands."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from documents import commands
from servers import READY, eventually

from marina import paths
from marina.serving.free_ports import environment, free_ports
from marina.serving.polling import wait_for
from marina.serving.ports import Ports

NOBODY = "nobody"
INSTALL_SECONDS = 1500
pytestmark = pytest.mark.timeout(1800)


def python_for_everyone() -> str:
    """A Python 3.11 with venv that a user who is not root may run."""
    for candidate in ("/usr/bin/python3.11", "/usr/local/bin/python3.11", sys.executable):
        if (
            Path(candidate).exists()
            and subprocess.run([candidate, "-c", "import ensurepip"], check=False, **as_user()).returncode == 0
        ):
            return candidate
    pytest.skip("no Python 3.11 with venv that a user who is not root may run")


def as_user() -> dict[str, Any]:
    """Options of subprocess that make a process nobody's, where we are root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam(NOBODY)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


@pytest.fixture(scope="module")
def clone() -> Iterator[Path]:
    """A clone of the last commit, in a folder that belongs to the user."""
    folder = Path("/var/tmp") / f"marina-clone-{os.getpid()}"  # noqa: S108 - removed below; /tmp may be small
    subprocess.run(["git", "clone", "--quiet", str(paths.ROOT), str(folder / "marina")], check=True)
    if options := as_user():
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, options["user"], options["group"], follow_symlinks=False)
    try:
        yield folder / "marina"
    finally:
        shutil.rmtree(folder)


def test_make_serve_leads_to_a_prediction(clone: Path) -> None:
    """Install, train, build, serve, predict, explain, Ctrl-C; and nothing is left running."""
    ports = free_ports()
    home = {"HOME": str(clone.parent), "PIP_CACHE_DIR": str(clone.parent / "cache"), "PATH": "/usr/bin:/bin"}
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "REQUESTS_"))}
    output = clone.parent / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            ["make", "serve", f"PYTHON={python_for_everyone()}"],
            cwd=clone,
            env=kept | home | environment(ports),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **as_user(),
        )
    try:
        wait_for(lambda: READY in output.read_text() or process.poll() is not None, INSTALL_SECONDS)
        assert READY in output.read_text(), output.read_text()[-3000:]
        family = psutil.Process(process.pid).children(recursive=True)
        for command in [one for one in commands(paths.ROOT / "README.md") if one.line.startswith("curl ")][:3]:
            line = moved(command.line, ports)
            printed = subprocess.run(["bash", "-c", line], cwd=clone, capture_output=True, text=True, check=True).stdout
            assert command.printed(printed), f"$ {line}\n{printed}"
    finally:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        process.wait(60)
    assert output.read_text().count("\nstopped\n") == 1
    assert eventually(lambda: not any(one.is_running() for one in family))


def moved(line: str, ports: Ports) -> str:
    """A command with TorchServe's ports moved to the server's."""
    for field, port in zip(Ports.model_fields.values(), dict(ports.by_variable()).values(), strict=True):
        line = re.sub(rf":{field.default}/", f":{port}/", line)
    return line
