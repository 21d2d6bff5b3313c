"""The same network gives the same archive, wherever it is built; and no archive tells where that was."""

from __future__ import annotations

import getpass
import io
import linecache
import os
import re
import shutil
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from models import write_model

from marina import paths
from marina.paths import Store
from marina.store import placeless
from marina.store.exporters import Exported

NETWORK = """
import torch
from torch import nn


class Convolution(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.linear = nn.Linear(4, 2)

    def forward(self, images):
        return self.linear(torch.relu(self.norm(self.convolution(images))).mean((2, 3)))
"""
WAYS: dict[str, dict[str, Any]] = {
    "eager": {"runtime": "eager"},
    "trace": {"runtime": "torchscript"},
    "script": {"runtime": "torchscript", "script": True},
    "export": {"runtime": "export"},
    "onnx": {"runtime": "onnx"},
    "openvino": {"runtime": "openvino"},
    "aotinductor": {"runtime": "aotinductor"},
}
EQUAL = [way for way in WAYS if way != "aotinductor"]  # of which docs/building.md says how far it is equal
TRAINING = """
import torch


def train(network, progress):
    torch.manual_seed(1)
    for parameter in network.parameters():
        torch.nn.init.uniform_(parameter)


def held_out():
    return []
"""
SURROUNDINGS = (
    {"TZ": "UTC", "PYTHONHASHSEED": "1", "LC_ALL": "C", "USER": "first", "LOGNAME": "first"},
    {"TZ": "Asia/Kathmandu", "PYTHONHASHSEED": "2", "LC_ALL": "C.UTF-8", "USER": "second", "LOGNAME": "second"},
)


@pytest.fixture(scope="module")
def clones(tmp_path_factory: pytest.TempPathFactory) -> list[Store]:
    """The stores of two copies of this repository, in folders of unlike length, each built with surroundings of its own."""
    folder = tmp_path_factory.mktemp("clones")
    places = folder / "one", folder / "another" / "deeper"
    builds = [_begun(place, number) for number, place in enumerate(places)]
    for build in builds:
        assert build.wait() == 0, (Path(str(build.args[-1])) / "said").read_text()  # type: ignore[index]
    return [Store(place / "store") for place in places]


def _begun(clone: Path, number: int) -> subprocess.Popen[bytes]:
    """A build of all ways in a copy of the repository; AOTInductor's, which takes long, in the first alone."""
    for part in ("marina", "handlers", "scripts", "config"):
        shutil.copytree(paths.ROOT / part, clone / part, ignore=shutil.ignore_patterns("__pycache__"))
    ways = WAYS if number == 0 else EQUAL
    versions = {name: {"source": {"network": "network.py"}, **WAYS[name]} for name in ways}
    files = {"network.py": NETWORK, "training.py": TRAINING}
    model = write_model(clone / "here", files, versions=versions, sample={"request": "light.png"}, tolerance=1e-3)
    for folder in ("tmp", "store"):
        (clone / folder).mkdir()
    command = [sys.executable, str(clone / "scripts" / "build_mar.py"), str(model), "--store", str(clone / "store")]
    surroundings = SURROUNDINGS[number] | {"PYTHONPATH": str(clone), "TMPDIR": str(clone / "tmp"), "OMP_NUM_THREADS": "1"}
    with (clone / "store" / "said").open("wb") as said:
        umask = 0o077 if number else 0o022
        return subprocess.Popen(command, cwd=clone, env=os.environ | surroundings, umask=umask, stdout=said, stderr=said)


def members(content: bytes, inside: str = "") -> Iterator[tuple[str, bytes]]:
    """All members of a zip and of the zips in it, uncompressed."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            member = archive.read(name)
            if zipfile.is_zipfile(io.BytesIO(member)):
                yield from members(member, f"{inside}{name}!")
            else:
                yield inside + name, member


@pytest.mark.parametrize("way", EQUAL)
def test_two_clones_build_the_same_archive(way: str, clones: list[Store]) -> None:
    """Byte for byte, from the same spec and weights, whatever the folder, time zone, locale, umask, user and seed of hashes."""
    first, second = ((store.archives / f"brightness-{way}.mar").read_bytes() for store in clones)
    differing = [name for (name, one), (_, other) in zip(members(first), members(second), strict=True) if one != other]
    assert differing == []
    assert first == second


@pytest.mark.parametrize("way", WAYS)
def test_no_archive_tells_where_it_was_built(way: str, clones: list[Store]) -> None:
    """No member, of zips within too, has the folder, the host's name, the interpreter's place or a user's name."""
    store = clones[0]
    telling = [str(store.folder.parent), sys.prefix, str(Path(torch.__file__).parents[1]), socket.gethostname(), str(Path.home())]
    telling += [f"torchinductor_{getpass.getuser()}", "torchinductor_first"]
    pattern = re.compile(b"|".join(rb"(?<![\w-])" + re.escape(one.encode()) + rb"(?![\w-])" for one in telling))
    for name, content in members((store.archives / f"brightness-{way}.mar").read_bytes()):
        found = pattern.search(content)
        assert found is None, f"{name}: {found and found[0]!r}"


@pytest.mark.parametrize("script", [False, True], ids=["traced", "scripted"])
def test_what_was_exported_before_leaves_no_mark(script: bool, tmp_path: Path) -> None:
    """torch.jit numbers classes in the order in which a process sees them; a file does not tell how many there were."""
    namespace: dict[str, Any] = {"__name__": "network"}
    linecache.cache["<ours>"] = (len(NETWORK), None, NETWORK.splitlines(keepends=True), "<ours>")  # torch.jit.script reads it
    exec(compile(NETWORK, "<ours>", "exec"), namespace)  # noqa: S102 - ours
    torch.manual_seed(1)
    module = namespace["Convolution"]().eval()
    contents = []
    for number in range(2):
        placeless.forget_earlier_exports()
        exported = Exported(tmp_path / str(number), "model.pt")
        exported.folder.mkdir()
        made = torch.jit.script(module) if script else torch.jit.trace(module, torch.zeros(1, 1, 4, 4))
        torch.jit.save(made, str(exported.folder / "model.pt"))
        placeless.forget_place(exported)
        contents.append((exported.folder / "model.pt").read_bytes())
    assert contents[0] == contents[1]
