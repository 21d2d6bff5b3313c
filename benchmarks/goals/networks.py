"""The network that every server under test has: torchvision's, with weights drawn once, and the archives that hold it."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from goals.commands import printed
from goals.pictures import photograph
from marina import paths
from marina.paths import Store
from marina.store.spec import find_spec

SEED = 2026
CLASSES = 1000
CALIBRATED = 32
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
BUILD = paths.ROOT / "scripts" / "build_mar.py"
STOCK_VERSION = "1.0"


@dataclass(frozen=True)
class Kept:
    """What is made once and used by every goal: weights, specs and archives."""

    folder: Path

    @property
    def store(self) -> Store:
        """Where archives are: ours and TorchServe's own."""
        return Store(self.folder / "store")

    @property
    def pictures(self) -> Path:
        """Where pictures are."""
        return self.folder / "pictures"

    def weights(self, network: str) -> Path:
        """A state dict of torchvision's network: random, and the same wherever it is asked for."""
        path = self.folder / f"{network}.pt"
        if not path.exists():
            import torch
            import torchvision

            torch.manual_seed(SEED)
            self.folder.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial")
            torch.save(torchvision.models.get_model(network, weights=None).state_dict(), partial)
            partial.replace(path)
        return path

    def ours(self, network: str, runtime: str, precision: str, threads: int | None = None, **options: Any) -> str:
        """The file name of our archive of a network, built where it is not there yet.

        Args:
            network: of torchvision.
            runtime: by which it is run.
            precision: of its arithmetic.
            threads: of one worker; None leaves that to the worker.
            options: of the handler, beside those that make it see what TorchServe's own sees.
        """
        name = "-".join([network, *map(str, options)])
        version = f"{runtime}-{precision}" + (f"-{threads}" if threads else "")
        wanted: dict[str, Any] = {"source": {"torchvision": network, "weights": "weights.pt"}, "runtime": runtime}
        wanted |= {"precision": precision, "tolerance": 1000.0} | ({"threads": threads} if threads else {})
        wanted |= {"channels_last": True} if runtime == "torchscript" else {}
        return self.build(self._spec(name, network, {version: wanted}, options), version)

    def stock(self, network: str) -> str:
        """The file name of an archive as TorchServe's own documentation makes it: TorchScript and its image_classifier."""
        path = self.store.archives / f"stock-{network}.mar"
        if not path.exists():
            script, names = self.folder / f"{network}-script.pt", self.folder / "index_to_name.json"
            _trace(network, self.weights(network), script)
            names.write_text(json.dumps({str(at): f"class {at}" for at in range(CLASSES)}))
            self.archive(path.stem, "image_classifier", "--serialized-file", str(script), "--extra-files", str(names))
        return path.name

    def archive(self, name: str, handler: str, *arguments: str) -> str:
        """The file name of an archive that torch-model-archiver makes.

        Raises:
            MarinaError: it does not.
        """
        temporary = self.folder / "tmp"  # where the archiver deletes a folder of the model's name
        for folder in (temporary, self.store.archives):
            folder.mkdir(parents=True, exist_ok=True)
        program = Path(sys.executable).with_name("torch-model-archiver")
        command = [program, "--model-name", name, "--version", STOCK_VERSION, "--handler", handler, "--force", *arguments]
        command += ["--export-path", self.store.archives]
        printed(command, f"torch-model-archiver made no {name}", {"TMPDIR": str(temporary)})
        return f"{name}.mar"

    def build(self, folder: Path, version: str) -> str:
        """The file name of the archive of a spec's version, built where it is not there yet.

        Raises:
            MarinaError: it cannot be built; its last lines say why.
        """
        command = [sys.executable, str(BUILD), str(folder), "--version", version, "--store", str(self.store.folder)]
        printed(command, f"{folder.name} {version} was not built")
        return f"{find_spec(str(folder)).spec.name}-{version}.mar"

    def _spec(self, name: str, network: str, versions: Mapping[str, Any], options: Mapping[str, Any]) -> Path:
        folder = self.folder / "specs" / f"{name}-{'-'.join(versions)}"
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(CALIBRATED):
            photograph(folder / "pictures", (320, 240), 12_000, number)
        (folder / "sample.jpg").write_bytes(photograph(self.pictures))
        weights = folder / "weights.pt"
        if not weights.exists():
            weights.hardlink_to(self.weights(network))
        spec = {
            "name": name,
            "description": f"torchvision's {network} with random weights, for the benchmarks.",
            "handler": "image_classifier",
            "options": {"size": [224, 224], "resize": 256, "mean": MEAN, "std": STD, **options},
            "input": [3, 224, 224],
            "labels": [f"class {at}" for at in range(CLASSES)],
            "sample": {"request": "sample.jpg"},
            "calibration": {"requests": "pictures", "agreement": 0.0},  # of random weights all answers are all but alike
            "versions": dict(versions),
        }
        with (folder / "model.yaml").open("w") as file:
            YAML(typ="safe", pure=True).dump(spec, file)
        return folder


def _trace(network: str, weights: Path, path: Path) -> None:
    import torch
    import torchvision

    module = torchvision.models.get_model(network, weights=None).eval()
    module.load_state_dict(torch.load(weights, weights_only=True))
    with warnings.catch_warnings(action="ignore"):  # TorchScript is deprecated, and what TorchServe's own handler takes
        torch.jit.save(torch.jit.trace(module, torch.zeros(1, 3, 224, 224)), str(path))
