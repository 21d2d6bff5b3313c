"""The request that an archive carries, to be tried with."""

from __future__ import annotations

import zipfile
from pathlib import Path

from ruamel.yaml import YAML

MODEL_CONFIG = "model-config.yaml"


def sample_of(archive: Path) -> tuple[bytes, str | None]:
    """The request that an archive is tried with, and the label it must answer, if any."""
    with zipfile.ZipFile(archive) as file:
        config = YAML(typ="safe", pure=True).load(file.read(MODEL_CONFIG))
        sample = config["handlerkit"]["sample"]
        return file.read(sample["request"]), sample["label"]
