"""A dashboard: rows of panels, variables to choose by, and what is marked on the time axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from marina.watching.dashboards.panels import GREEN, RED, SOURCE, Json, Row

WHOLE_WIDTH = 24
SCHEMA_VERSION = 41
MODELS = "label_values(marina_workers_wanted, model_name)"
VERSIONS = 'label_values(marina_workers_wanted{model_name="$model"}, model_version)'
SPLIT_MODELS = "label_values(marina_split_weight_ratio, model_name)"
ARMS = 'label_values(marina_split_weight_ratio{model_name="$model"}, model_version)'
MOVED = 'changes(marina_split_weight_ratio{model_name=~"$model"}[1m]) > 0'
FIRING = 'ALERTS{alertstate="firing"}'


@dataclass(frozen=True)
class Variable:
    """What a page is chosen by: a label's values.

    Attributes:
        several: whether more than one may be chosen; all are at first.
    """

    name: str
    label: str
    query: str
    several: bool = False

    def json(self) -> Json:
        """As Grafana reads it."""
        chosen = {"text": ["All"], "value": ["$__all"]} if self.several else {"text": "", "value": ""}
        return {
            "type": "query",
            "name": self.name,
            "label": self.label,
            "datasource": SOURCE,
            "query": {"query": self.query, "refId": "variable"},
            "refresh": 2,
            "sort": 1,
            "multi": self.several,
            "includeAll": self.several,
            "current": chosen,
        }


@dataclass(frozen=True)
class Page:
    """One dashboard."""

    name: str
    title: str
    what: str
    variables: Sequence[Variable]
    rows: Sequence[Row]

    @property
    def uid(self) -> str:
        """By which links find it."""
        return f"marina-{self.name}"

    def json(self) -> Json:
        """As Grafana reads it; its own number is Grafana's business."""
        return {
            "uid": self.uid,
            "title": f"Marina: {self.title}",
            "description": self.what,
            "tags": ["marina"],
            "schemaVersion": SCHEMA_VERSION,
            "editable": True,
            "graphTooltip": 1,
            "time": {"from": "now-1h", "to": "now"},
            "refresh": "10s",
            "timezone": "browser",
            "templating": {"list": [_datasource(), *(one.json() for one in self.variables)]},
            "annotations": {"list": self._marks()},
            "links": [_links()],
            "panels": self._panels(),
        }

    def _marks(self) -> list[Json]:
        chosen = any(one.name == "model" for one in self.variables)
        moved = MOVED if chosen else MOVED.replace("$model", ".+")
        return [
            _mark("Split moved", moved, GREEN, "{{model_name}} {{model_version}}"),
            _mark("Alert", FIRING, RED, "{{alertname}} {{model_name}} {{model_version}}"),
        ]

    def _panels(self) -> list[Json]:
        drawn: list[Json] = []
        y = 0
        for row in self.rows:
            place = {"x": 0, "y": y, "w": WHOLE_WIDTH, "h": 1}
            drawn.append(
                {"id": len(drawn) + 1, "type": "row", "title": row.title, "collapsed": False, "gridPos": place, "panels": []}
            )
            y, x = y + 1, 0
            for panel in row.panels:
                if x + panel.width > WHOLE_WIDTH:
                    y, x = y + row.height, 0
                drawn.append(panel.json(len(drawn) + 1, {"x": x, "y": y, "w": panel.width, "h": row.height}))
                x += panel.width
            y += row.height
        return drawn


def _datasource() -> Json:
    return {"type": "datasource", "name": "datasource", "label": "Prometheus", "query": "prometheus", "refresh": 1}


def _mark(name: str, expression: str, color: str, text: str) -> Json:
    return {
        "name": name,
        "enable": True,
        "datasource": SOURCE,
        "iconColor": color,
        "target": {"refId": "Anno", "expr": expression, "interval": "10s"},
        "titleFormat": name,
        "textFormat": text,
    }


def _links() -> Json:
    """To the other pages, with the chosen model and time."""
    return {
        "type": "dashboards",
        "title": "Marina",
        "tags": ["marina"],
        "asDropdown": False,
        "icon": "external link",
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "tooltip": "",
        "url": "",
    }
