"""The request that an archive carries, to be tried with, and the label of its answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from marina.errors import MarinaError
from marina.paths import Store
from marina.reading import parse_yaml
from marina.store.contents import opened, read_member
from marina.store.index import Entry, verified_archive

MODEL_CONFIG = "model-config.yaml"


def sample_of(archive: Path) -> tuple[bytes, str | None]:
    """The request that an archive is tried with, and the label it must answer, if any."""
    with opened(archive) as (file, _):
        config = parse_yaml(read_member(file, MODEL_CONFIG).decode())
        sample = config["handlerkit"]["sample"]
        return read_member(file, sample["request"]), sample["label"]


def sample_of_entry(store: Store, entry: Entry) -> tuple[bytes, str | None]:
    """The request that an indexed archive is tried with, and its label: its own, or what it was adopted with.

    Raises:
        MarinaError: the archive is missing or another, or the request that it was adopted with is gone.
    """
    archive = verified_archive(store, entry)
    if not entry.is_adopted:
        return sample_of(archive)
    path = store.samples / Path(entry.sample.request).name
    if not path.is_file():
        raise MarinaError(f"{path} is missing, the sample of {entry.archive}: {entry.again}")
    return path.read_bytes(), entry.sample.label


def answer_of(body: str) -> Any:
    """An answer by its body: a JSON value, or the text that a handler may answer with as well."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body


def best_label(answer: Any) -> str | None:
    """The best class of an answer that lists classes, or that is an object of them (``form: stock``); None of other answers."""
    if isinstance(answer, dict) and answer and all(isinstance(value, float) for value in answer.values()):
        return str(max(answer, key=lambda label: answer[label]))
    classes = answer.get("classes") if isinstance(answer, dict) else answer
    first = classes[0] if isinstance(classes, list) and classes else None
    return first.get("label") if isinstance(first, dict) else None
