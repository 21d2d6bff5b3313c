"""The digits in five folds: each network is trained on four of them and asked for the fifth, in every precision."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from ruamel.yaml import YAML

from goals.commands import printed
from goals.networks import Kept
from marina import paths

FOLDS = 5
DIGITS = paths.SPECS / "digits"
PREDICT = paths.ROOT / "scripts" / "predict_batch.py"
VERSIONS = {
    "fp32": {"runtime": "eager"},
    "bf16": {"runtime": "openvino", "precision": "bf16"},
    "int8": {"runtime": "openvino", "precision": "int8"},
}
TRAINING = '''"""Digits, with fold {fold} of {folds} held out."""

import importlib.util
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold

spec = importlib.util.spec_from_file_location("digits_training", Path(__file__).with_name("whole.py"))
whole = importlib.util.module_from_spec(spec)
spec.loader.exec_module(whole)


def split():
    data = load_digits()
    images = (data.images / 16).astype(np.float32)[:, None]
    folds = StratifiedKFold({folds}, shuffle=True, random_state={seed}).split(images, data.target)
    trained, held = list(folds)[{fold}]
    return images[trained], images[held], data.target[trained], data.target[held]


whole.split = split
train, held_out, calibration, png = whole.train, whole.held_out, whole.calibration, whole.png
'''
SEED = 2026


@dataclass(frozen=True)
class Answers:
    """What one version answers to the digits that its network was not trained on.

    Attributes:
        right: the digits, shape [rows].
        probabilities: of each class, shape [rows, 10].
    """

    right: np.ndarray
    probabilities: np.ndarray

    @property
    def best(self) -> np.ndarray:
        """The class that is answered first."""
        best: np.ndarray = np.argmax(self.probabilities, axis=1)
        return best

    @property
    def hits(self) -> int:
        """How many answers are right."""
        return int((self.best == self.right).sum())


def answers(kept: Kept, count: int = FOLDS) -> dict[str, Answers]:
    """The answers of each version of VERSIONS to all held-out digits of the first so many folds, one after the other."""
    parts: dict[str, list[Answers]] = {version: [] for version in VERSIONS}
    for fold in range(count):
        folder = _write_spec(kept.folder / "folds" / str(fold), fold)
        pictures, right = _held_out(folder)
        for version in VERSIONS:
            kept.build(folder, version)
            parts[version].append(Answers(right, _predicted(kept, folder, version, pictures)))
    return {
        version: Answers(np.concatenate([one.right for one in part]), np.concatenate([one.probabilities for one in part]))
        for version, part in parts.items()
    }


def _write_spec(folder: Path, fold: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, copied in (("training.py", "whole.py"), ("large.py", "large.py"), ("seven.png", "seven.png")):
        (folder / copied).write_bytes((DIGITS / name).read_bytes())
    (folder / "training.py").write_text(TRAINING.format(fold=fold, folds=FOLDS, seed=SEED))
    yaml = YAML(typ="safe", pure=True)
    spec = yaml.load(DIGITS / "model.yaml")
    spec |= {"name": f"digits-fold-{fold}", "options": spec["options"] | {"top_k": 10}, "tolerance": 0.5}
    spec["versions"] = {version: {"source": {"network": "large.py"}, **how} for version, how in VERSIONS.items()}
    with (folder / "model.yaml").open("w") as file:
        yaml.dump(spec, file)
    return folder


def _held_out(folder: Path) -> tuple[Path, np.ndarray]:
    """A folder of the held-out digits as pictures, in order, and what they are."""
    script = (
        "import io, json, runpy, sys; [print(json.dumps([p.hex(), y])) for p, y in runpy.run_path(sys.argv[1])['held_out']()]"
    )
    said = printed([sys.executable, "-c", script, folder / "training.py"], f"{folder.name}: its digits were not read")
    rows = [json.loads(line) for line in said.splitlines()]
    pictures = folder / "held-out"
    pictures.mkdir(exist_ok=True)
    for number, (content, _) in enumerate(rows):
        (pictures / f"{number:04}.png").write_bytes(bytes.fromhex(content))
    return pictures, np.array([int(label) for _, label in rows])


def _predicted(kept: Kept, folder: Path, version: str, pictures: Path) -> np.ndarray:
    """Probabilities by class, shape [rows, 10], as the archive's own handler answers them."""
    output = folder / f"{version}.parquet"
    command = [sys.executable, PREDICT, folder, pictures, "--version", version, "--output", output]
    printed([*command, "--store", kept.store.folder, "--force"], f"{folder.name} {version} was not predicted")
    rows = [json.loads(answer) for answer in pq.read_table(output)["answer"].to_pylist()]
    found = np.zeros((len(rows), 10))
    for number, row in enumerate(rows):
        for one in row:
            found[number, int(one["label"])] = one["probability"]
    return found
