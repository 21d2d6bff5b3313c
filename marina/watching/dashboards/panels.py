"""Panels in Grafana's classic dashboard model: a title, what it is for, queries, a unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

Json = dict[str, Any]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
PROMISE = "promised"
GREEN, YELLOW, RED, BLUE, GREY = "green", "#EAB839", "red", "blue", "text"


class Query(NamedTuple):
    """An expression, and how its series are called; what stands in double braces is a label."""

    expression: str
    legend: str


class Step(NamedTuple):
    """From this value on, this colour."""

    value: float
    color: str


@dataclass(frozen=True)
class Panel:
    """One panel, without its place.

    Attributes:
        unit: in Grafana's words.
        kind: Grafana's type of panel.
        width: of 24.
        stacked: series lie on each other, for parts of a whole.
        steps: colours by value, green before the first.
        repeat: the variable for each of whose values the panel is drawn.
    """

    title: str
    what: str
    unit: str
    queries: tuple[Query, ...]
    kind: str = "timeseries"
    width: int = 8
    stacked: bool = False
    steps: tuple[Step, ...] = ()
    top: float | None = None
    repeat: str | None = None

    def json(self, number: int, place: Json) -> Json:
        """As Grafana reads it."""
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.what,
            "datasource": SOURCE,
            "gridPos": place,
            "targets": [_target(letter, query, self.kind) for letter, query in zip("ABCDEFGH", self.queries, strict=False)],
            "fieldConfig": {"defaults": self._defaults(), "overrides": self._overrides()},
            "options": OPTIONS[self.kind],
            **({"repeat": self.repeat, "repeatDirection": "h", "maxPerRow": 2} if self.repeat else {}),
        }

    def _defaults(self) -> Json:
        steps = [{"value": None, "color": GREEN if self.steps else GREY}, *(step._asdict() for step in self.steps)]
        defaults: Json = {
            "unit": self.unit,
            "min": 0,
            "thresholds": {"mode": "absolute", "steps": steps},
            "color": {"mode": "thresholds" if self.kind in BY_VALUE else "palette-classic"},
            "custom": self._drawn(),
        }
        return defaults | ({} if self.top is None else {"max": self.top})

    def _drawn(self) -> Json:
        if self.kind == "timeseries":
            stacking = {"mode": "normal" if self.stacked else "none", "group": "A"}
            return {
                "drawStyle": "line",
                "lineWidth": 1,
                "fillOpacity": 40 if self.stacked else 8,
                "showPoints": "never",
                "spanNulls": False,
                "stacking": stacking,
                "thresholdsStyle": {"mode": "line" if self.steps else "off"},
            }
        return {"fillOpacity": 80, "lineWidth": 0} if self.kind == "state-timeline" else {}

    def _overrides(self) -> list[Json]:
        """What was promised is a dashed red line over the others."""
        if self.kind != "timeseries":
            return []
        dashed = [
            {"id": "color", "value": {"mode": "fixed", "fixedColor": RED}},
            {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [8, 6]}},
            {"id": "custom.fillOpacity", "value": 0},
            {"id": "custom.stacking", "value": {"mode": "none", "group": "B"}},
        ]
        return [{"matcher": {"id": "byName", "options": PROMISE}, "properties": dashed}]


BY_VALUE = ("stat", "state-timeline", "bargauge")
CALCULATED = {"calcs": ["lastNotNull"], "fields": "", "values": False}
OPTIONS: dict[str, Json] = {
    "timeseries": {
        "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["mean", "max"], "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {
        "reduceOptions": CALCULATED,
        "colorMode": "value",
        "graphMode": "area",
        "justifyMode": "auto",
        "textMode": "auto",
        "orientation": "auto",
    },
    "bargauge": {
        "reduceOptions": CALCULATED,
        "displayMode": "basic",
        "orientation": "horizontal",
        "valueMode": "color",
        "showUnfilled": True,
    },
    "state-timeline": {
        "legend": {"displayMode": "list", "placement": "bottom", "calcs": [], "showLegend": False},
        "tooltip": {"mode": "single", "sort": "none"},
        "showValue": "never",
        "mergeValues": True,
        "rowHeight": 0.8,
    },
    "heatmap": {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Oranges", "exponent": 0.5, "steps": 64, "fill": "orange", "reverse": False},
        "filterValues": {"le": 1e-9},
        "rowsFrame": {"layout": "auto"},
        "showValue": "never",
        "legend": {"show": True},
        "exemplars": {"color": "orange"},
        "tooltip": {"mode": "single", "yHistogram": True, "showColorScale": True},
        "yAxis": {"unit": "s", "axisPlacement": "left", "reverse": False},
    },
}


def _target(letter: str, query: Query, kind: str) -> Json:
    return {
        "refId": letter,
        "datasource": SOURCE,
        "expr": query.expression,
        "legendFormat": query.legend,
        "format": "heatmap" if kind == "heatmap" else "time_series",
        "range": True,
    }


@dataclass(frozen=True)
class Row:
    """Panels side by side under a title; those beyond 24 go to the next line."""

    title: str
    panels: Sequence[Panel]
    height: int = 8
