"""The queries of our dashboards and rules, as Prometheus is asked them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from marina import paths

DASHBOARDS = sorted((paths.CONFIG / "grafana" / "dashboards").glob("*.json"))
RULES = sorted((paths.CONFIG / "prometheus" / "rules").glob("*.yml"))
VARIABLES = {
    "$__rate_interval": "30s",
    "$model": "digits",
    "$version": ".+",
    "$arm": ".+",
}
COMPARISON = re.compile(r"(?<![=!~<>])(==|!=|>=|<=|>|<)(?![=~])\s*(?!bool\b)")


class Asked(NamedTuple):
    """A query, and where it stands."""

    where: str
    expression: str


def of_dashboards() -> Iterator[Asked]:
    """Of every panel and every mark on the time axis, with variables put in."""
    for path in DASHBOARDS:
        page = json.loads(path.read_text())
        for panel in page["panels"]:
            for target in panel.get("targets", []):
                yield Asked(f"{path.stem}: {panel['title']}: {target['refId']}", _filled(target["expr"]))
        for mark in page["annotations"]["list"]:
            yield Asked(f"{path.stem}: {mark['name']}", _filled(mark["target"]["expr"]))


def of_rules() -> Iterator[Asked]:
    """Of every recording rule, and of every alert with its comparisons made into values."""
    for path in RULES:
        for group in YAML(typ="safe", pure=True).load(path.read_text())["groups"]:
            for rule in group["rules"]:
                yield _recorded(path, rule) if "record" in rule else _alert(path, rule)


def _recorded(path: Path, rule: dict[str, Any]) -> Asked:
    return Asked(f"{path.stem}: {rule['record']}", rule["record"] + _matching(rule.get("labels", {})))


def _matching(labels: dict[str, str]) -> str:
    return "{" + ", ".join(f'{name}="{value}"' for name, value in labels.items()) + "}"


def _alert(path: Path, rule: dict[str, Any]) -> Asked:
    return Asked(f"{path.stem}: {rule['alert']} ({rule['labels']['severity']})", without_thresholds(rule["expr"]))


def without_thresholds(expression: str) -> str:
    """An alert's expression that has a value whether it fires or not: what it compares must be there all the same."""
    parts = re.split(r"(\{[^}]*\})", expression)
    compared = "".join(part if part.startswith("{") else COMPARISON.sub(r"\1 bool ", part) for part in parts)
    return re.sub(r"\bunless\b", "and", compared)


def _filled(expression: str) -> str:
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    assert "$" not in expression, expression
    return expression
