"""Write the JSON schema of ``model.yaml``, by which editors complete and check it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from marina import paths
from marina.store.spec import VERSION, Spec

FILE = paths.SPECS.parent / "model.schema.json"
DRAFT = "http://json-schema.org/draft-07/schema#"  # what editors know best
SOURCES = ("network", "torchvision")  # of which a source has exactly one


def schema() -> dict[str, Any]:
    """The schema: what pydantic says of a spec, and what it checks by code of ours and can be said."""
    made = Spec.model_json_schema()
    made["properties"]["versions"]["propertyNames"] = {"pattern": VERSION}
    made["$defs"]["Source"]["oneOf"] = [{"required": [one]} for one in SOURCES]
    return {"$schema": DRAFT, **made, "title": "A model of Marina: model.yaml"}


def text() -> str:
    """The file's content."""
    return json.dumps(schema(), indent=1) + "\n"


def write(path: Path = FILE) -> None:
    """Write the file."""
    path.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    write()
