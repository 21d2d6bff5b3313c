"""Editors and the build say the same of a model.yaml."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from documents import blocks
from models import SPEC
from ruamel.yaml import YAML

from marina import paths
from marina.errors import UsageError
from marina.reading import read_yaml
from marina.store import schema
from marina.store.spec import Spec

SPECS = sorted(paths.SPECS.glob("*/model.yaml"))
VALIDATOR = jsonschema.Draft7Validator(json.loads(schema.FILE.read_text()))
VERSION = SPEC["versions"]["1"]
NETWORK = {"network": "network.py"}


def test_the_schema_is_what_the_code_says() -> None:
    """After a change of spec.py: make schema."""
    assert schema.FILE.read_text() == schema.text()
    jsonschema.Draft7Validator.check_schema(schema.schema())


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.parent.name)
def test_every_spec_names_the_schema_and_fits_it(path: Path) -> None:
    """An editor finds the schema by the first line, from wherever the spec lies."""
    first = path.read_text().splitlines()[0]
    named = first.removeprefix("# yaml-language-server: $schema=")
    assert (path.parent / named).resolve() == schema.FILE.resolve()
    VALIDATOR.validate(YAML(typ="safe", pure=True).load(path.read_text()))


def test_every_key_is_described() -> None:
    """Which is what an editor shows beside it."""
    assert [name for name, key in keys(schema.schema()) if not key.get("description")] == []


def keys(made: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind in ({"title": "Spec", **made}, *made["$defs"].values()):
        for name, key in kind["properties"].items():
            yield f"{kind['title']}.{name}", key


@pytest.mark.parametrize(
    "changes",
    [
        {"handlr": "x"},
        {"name": "../up"},
        {"name": 3},
        {"input": [0]},
        {"input": "3, 224"},
        {"labels": 3},
        {"tolerance": 0},
        {"sample": {"label": "light"}},
        {"serving": {"batchsize": 3}},
        {"serving": {"workers": 0}},
        {"serving": {"workers": "two"}},
        {"limits": {"rows": -1}},
        {"calibration": {"agreement": 98}},
        {"calibration": {"limit": 0}},
        {"versions": {}},
        {"versions": {"a b": VERSION}},
        {"versions": {"1": {"sorce": NETWORK, "runtime": "eager"}}},
        {"versions": {"1": {"source": NETWORK}}},
        {"versions": {"1": {"source": {}, "runtime": "eager"}}},
        {"versions": {"1": {"source": NETWORK | {"torchvision": "resnet18"}, "runtime": "eager"}}},
        {"versions": {"1": {"source": NETWORK, "runtime": "onyx"}}},
        {"versions": {"1": {"source": NETWORK, "runtime": "openvino", "precision": "int4"}}},
        {"versions": {"1": {"source": NETWORK, "runtime": "eager", "method": "a-b"}}},
        {"input": {"images": {"shape": [3], "dtype": "float16"}}},
    ],
    ids=str,
)
def test_a_mistake_is_refused_by_both(changes: dict[str, Any], tmp_path: Path) -> None:
    """What an editor underlines is what the build refuses."""
    wrong = SPEC | changes
    assert not VALIDATOR.is_valid(wrong)
    with (tmp_path / "model.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump(wrong, file)
    with pytest.raises(UsageError):
        read_yaml(tmp_path / "model.yaml", Spec)


def test_what_both_refuse_is_the_mistake_alone() -> None:
    """The spec that the mistakes are made in is right."""
    VALIDATOR.validate(SPEC)
    assert Spec.model_validate(SPEC).name == SPEC["name"]


def test_what_the_docs_of_formats_show_fits() -> None:
    """Every part of a spec in docs/formats.md is one."""
    shown = [YAML(typ="safe", pure=True).load(block) for block in blocks(paths.ROOT / "docs" / "formats.md", "yaml")]
    assert len(shown) == 2
    for part in shown:
        VALIDATOR.validate(SPEC | part)
        Spec.model_validate(SPEC | part)
