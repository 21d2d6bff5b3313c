"""A model.tar.gz for SageMaker's PyTorch containers, with our handler inside."""

from __future__ import annotations

import gzip
import shutil
import tarfile
import tempfile
from pathlib import Path

from marina.roads import archives
from marina.roads.order import Made, Order

TEMPLATE = Path(__file__).parent / "templates" / "sagemaker" / "inference.py"
CODE = "code"
FILE = "model.tar.gz"
BESIDE = ["captum", "pillow", "psutil", "pyyaml"]  # what every handler needs; the containers have torch


def make(order: Order, folder: Path) -> Made:
    """Write ``model.tar.gz``; the same archive gives the same bytes."""
    with tempfile.TemporaryDirectory(prefix="stage-", dir=folder.parent) as name:
        stage = Path(name)
        entry = archives.unpacked(order, stage)
        (stage / CODE).mkdir()
        (stage / archives.WORKER).rename(stage / CODE / archives.WORKER)
        shutil.copy(TEMPLATE, stage / CODE)
        needed = sorted([*archives.requirements(entry), *BESIDE])
        (stage / CODE / "requirements.txt").write_text("".join(f"{one}\n" for one in needed), encoding="utf-8")
        _pack(stage, folder / FILE)
    return Made(notes=archives.notes(entry), then=f"aws s3 cp FOLDER/{FILE} s3://BUCKET/{order.model}/{order.version}/{FILE}")


def _pack(stage: Path, target: Path) -> None:
    with (
        target.open("wb") as raw,
        gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for path in sorted(path for path in stage.rglob("*") if path.is_file()):
            tar.add(path, str(path.relative_to(stage)), filter=_plain)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """A member without who made it, and when."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o644
    return member
