"""Which roads there are, and one version made ready for one of them."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from marina.console import step
from marina.errors import MarinaError, UsageError
from marina.reading import nearest_of
from marina.roads.order import Made, Order


@dataclass(frozen=True)
class Road:
    """A road.

    Attributes:
        ways: exporters or platforms; the first is meant where none is named.
        option: of the command, that chooses among them.
        inside: the ways that can have preprocessing inside the network.
        packages: what a way needs, the name of a package and of its module; none of them is needed to serve.
    """

    ways: tuple[str, ...]
    option: str = "--exporter"
    inside: tuple[str, ...] = ()
    packages: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> str:
        """Its ways, as people read them."""
        return ", ".join(self.ways)


ROADS = {
    "onnx": Road(("trace", "dynamo"), inside=("trace", "dynamo"), packages={"dynamo": "onnxscript"}),
    "libtorch": Road(("torchscript", "aotinductor"), inside=("torchscript", "aotinductor")),
    "triton": Road(("handler", "onnx", "torchscript"), "--platform", inside=("onnx", "torchscript")),
    "executorch": Road(("xnnpack", "portable"), packages={"xnnpack": "executorch", "portable": "executorch"}),
    "sagemaker": Road(("handler",)),
}


def way_of(name: str, exporter: str | None, platform: str | None, with_preprocessing: bool) -> str:
    """The way that is asked for, of a road.

    Raises:
        UsageError: there is no such road, or it has no such way, or the way cannot have preprocessing inside.
    """
    if name not in ROADS:
        raise UsageError(f"--to {name}: {nearest_of(name, [*ROADS])}")
    road = ROADS[name]
    for option, given in (("--exporter", exporter), ("--platform", platform)):
        if given and option != road.option:
            raise UsageError(f"{option} does not go with --to {name}")
        if given and given not in road.ways:
            raise UsageError(f"{option} {given}: --to {name} has {road.names}")
    way = exporter or platform or road.ways[0]
    if with_preprocessing and way not in road.inside:
        why = "its handler reads requests itself" if way == "handler" else "resizing to any size needs what it does not have"
        raise UsageError(f"--with-preprocessing does not go with --to {name} by {way}: {why}")
    return way


def check_installed(name: str, way: str) -> None:
    """See that what a way needs beside what the house has is there.

    Raises:
        MarinaError: it is not; the message says how to install it.
    """
    package = ROADS[name].packages.get(way)
    if package and importlib.util.find_spec(package) is None:
        raise MarinaError(f"--to {name} by {way} needs {package}, which is not installed: python -m pip install {package}")


def check_out(out: Path) -> None:
    """See that a folder is free to be written.

    Raises:
        UsageError: it is not.
    """
    if out.is_dir() and not any(out.iterdir()):
        return
    if out.exists():
        what = "is not empty" if out.is_dir() else "is a file"
        raise UsageError(f"--out {out} {what}: name a folder that is not there yet, or an empty one")


def make(name: str, order: Order, out: Path) -> Made:
    """Make a version ready for a road; the folder is there only once everything in it is.

    Raises:
        UsageError: the road cannot have this version; the reason.
        MarinaError: a step failed; the message says which and why.
    """
    step(f"{order.name}: {name} by {order.way}")
    module = importlib.import_module(f"marina.roads.{name}")
    with _put_in_place(out) as folder:
        made: Made = module.make(order, folder)
    return made


@contextmanager
def _put_in_place(out: Path) -> Iterator[Path]:
    """A folder beside ``out`` that takes its place at the end, or goes."""
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        yield folder
        folder.chmod(0o755)
        folder.rename(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
