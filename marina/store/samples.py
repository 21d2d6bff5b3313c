"""The request that an archive carries, to be tried with, and the label of its answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from marina.store.contents import opened, read_member

MODEL_CONFIG = "model-config.yaml"


def sample_of(archive: Path) -> tuple[bytes, str | None]:
    """The request that an archive is tried with, and the label it must answer, if any."""
    with opened(archive) as (file, _):
        config = YAML(typ="safe", pure=True).load(read_member(file, MODEL_CONFIG))
        sample = config["handlerkit"]["sample"]
        return read_member(file, sample["request"]), sample["label"]


def best_label(answer: Any) -> str | None:
    """The best class of an answer that lists classes, or that is an object of them (``form: stock``); None of other answers."""
    if isinstance(answer, dict) and answer and all(isinstance(value, float) for value in answer.values()):
        return str(max(answer, key=lambda label: answer[label]))
    classes = answer.get("classes") if isinstance(answer, dict) else answer
    first = classes[0] if isinstance(classes, list) and classes else None
    return first.get("label") if isinstance(first, dict) else None
