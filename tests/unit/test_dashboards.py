"""Grafana's files, as far as they can be checked without Grafana."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from ruamel.yaml import YAML

from marina import paths
from marina.watching.dashboards.__main__ import FOLDER, PAGES, files

GRAFANA = paths.CONFIG / "grafana"
SCHEMA = Draft7Validator(json.loads((paths.ROOT / "tests" / "grafana" / "dashboard.schema.json").read_text()))
NAMES = [page.name for page in PAGES]


def page(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return loaded


def yaml(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path.read_text())


def panels(name: str) -> list[dict[str, Any]]:
    return [panel for panel in page(name)["panels"] if panel["type"] != "row"]


def test_the_files_are_what_their_source_says() -> None:
    """`make dashboards` writes them; nobody else does."""
    assert {path: path.read_text() for path in FOLDER.glob("*.json")} == files()


@pytest.mark.parametrize("name", NAMES)
def test_dashboards_fit_grafanas_own_types(name: str) -> None:
    """As Grafana publishes them on npm: every key of every panel is known, and of the right type."""
    assert [f"{list(error.absolute_path)}: {error.message[:200]}" for error in SCHEMA.iter_errors(page(name))] == []


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("panels", 1, "fieldConfig", "defaults", "unit"), 5),
        (("panels", 1, "options", "colour"), "red"),
        (("panels", 1, "options", "graphMode"), "areas"),
        (("panels", 1, "type"), "timeserie"),
        (("panels", 1, "gridPos", "w"), "8"),
        (("panels", 1, "targets", 0, "expression"), "up"),
        (("panels", 8, "fieldConfig", "defaults", "custom", "drawStyle"), "lines"),
        (("templating", "list", 1, "refresh"), 3),
        (("annotations", "list", 0, "target", "query"), "up"),
        (("graphTooltip",), 5),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else None,
)
def test_the_schema_finds_mistakes(where: tuple[str | int, ...], value: object) -> None:
    """A misspelt key, a wrong type, a choice that there is not."""
    wrong: Any = copy.deepcopy(page("model"))
    *way, last = where
    place = wrong
    for step in way:
        place = place[step]
    place[last] = value
    assert list(SCHEMA.iter_errors(wrong))


@pytest.mark.parametrize("name", NAMES)
def test_panels_say_what_they_are_for_and_do_not_overlap(name: str) -> None:
    """A title, a sentence, a unit, a query and a place of its own within 24 columns; numbers are given once."""
    taken: set[tuple[int, int]] = set()
    for panel in panels(name):
        assert panel["title"]
        assert panel["description"].endswith((".", "?")), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["targets"]
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    numbers = [panel["id"] for panel in page(name)["panels"]]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("name", NAMES)
def test_variables_that_queries_use_are_there(name: str) -> None:
    """And none that no query uses."""
    loaded = page(name)
    defined = {variable["name"] for variable in loaded["templating"]["list"]} - {"datasource"}
    used = set(re.findall(r"\$([a-z]+)\b", json.dumps([loaded["panels"], loaded["annotations"]]))) - {"datasource"}
    assert used == defined


def test_provisioning_finds_the_dashboards_and_prometheus() -> None:
    """One data source, by the name that Prometheus has in the compose stack; one folder of dashboards."""
    (source,) = yaml(GRAFANA / "provisioning" / "datasources" / "prometheus.yml")["datasources"]
    assert (source["type"], source["url"], source["isDefault"]) == ("prometheus", "http://prometheus:9090", True)
    scraped = yaml(paths.CONFIG / "prometheus" / "prometheus.yml")["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == scraped
    (provider,) = yaml(GRAFANA / "provisioning" / "dashboards" / "marina.yml")["providers"]
    assert provider["options"]["path"] == "/etc/grafana/dashboards"
