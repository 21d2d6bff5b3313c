"""A report as one page, which needs nothing but itself."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from marina.comparing.report import Report
from marina.comparing.report_charts import NUMBERED, charts, in_units
from marina.comparing.report_pictures import png, svg
from marina.comparing.verdict import Verdict
from marina.comparing.verdict_document import document

TEMPLATE = "report.html.jinja"
SAID = {
    "better": "better",
    "worse": "worse",
    "same": "no difference that matters",
    "unknown": "not known yet",
    "untrusted": "no verdict",
}


def html(report: Report) -> str:
    """The page."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"moment": moment, "percent": percent, "number": number, "difference": difference}
    drawn = [(chart, f"chart{index}") for index, chart in enumerate(charts(report), 1)]
    pictures = [(chart, name, Markup(svg(chart, name))) for chart, name in drawn]  # noqa: S704 - matplotlib escapes what it is given
    return environment.get_template(TEMPLATE).render(report=report, pictures=pictures, said=SAID, metrics=_metrics(report))


def write(report: Report, path: Path) -> None:
    """Write a report in the form that the file's suffix says, .html, .png or .json; the file is there whole or as it was.

    Raises:
        OSError: it cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        if path.suffix == ".png":
            png(report, f"{report.model}, experiment {report.experiment}", _said(report), unfinished)
        else:
            unfinished.write_text(html(report) if path.suffix == ".html" else json_of(report), encoding="utf-8")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def json_of(report: Report) -> str:
    """All that the page says and shows, for programs; times are Unix seconds."""
    content = asdict(report) | {"judgement": document(report.judgement) if report.judgement else None}
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def _said(report: Report) -> list[str]:
    """What stands above the charts of a picture."""
    events = [f"{number}  {moment(event.time)}  {event.kind}: {event.text}" for number, event in enumerate(report.events, 1)]
    return [report.summary, *report.sentences, *([""] if events else []), *events[:NUMBERED]]


def moment(at: float) -> str:
    """A time, to the second, in UTC."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"


def percent(share: float | None, digits: int = 1) -> str:
    """A share of 1."""
    return "–" if share is None or math.isnan(share) else f"{100 * share:.{digits}f} %"


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many digits that count."""
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}g}"


def difference(verdict: Verdict) -> str:
    """A verdict's difference with its interval."""
    if verdict.difference is None:
        return "–"
    factor, unit = in_units(verdict)
    value, low, high = (
        f"{factor * one:+.3g}" for one in (verdict.difference.value, verdict.difference.low, verdict.difference.high)
    )
    return f"{value} {unit} ({low} to {high})".replace("  ", " ").replace("-", "−")


def _metrics(report: Report) -> list[str]:
    return list(dict.fromkeys(metric for arm in report.arms for metric in arm.means))
