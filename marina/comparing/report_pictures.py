"""Charts as pictures: SVG that takes its colours from the page, or one PNG with all of them."""

from __future__ import annotations

import io
import re
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from marina.comparing.report import Report
from marina.comparing.report_charts import Chart, Colours, charts

SIZE_INCHES = (4.7, 2.75)
PNG_DPI = 130
COLUMNS = 2
LINE = 118  # characters that the picture's width holds
OF_PAGE = {  # a colour that no chart has, and the page's variable that takes its place
    "#010101": "var(--ink)",
    "#020202": "var(--faint)",
    "#030303": "var(--grid)",
    "#040404": "var(--event)",
    "#050501": "var(--arm1)",
    "#050502": "var(--arm2)",
    "#050503": "var(--arm3)",
    "#050504": "var(--arm4)",
}
PAGE = Colours("#010101", "#020202", "#030303", "#040404", ("#050501", "#050502", "#050503", "#050504"))
SETTINGS: Any = {
    "svg.fonttype": "none",  # letters stay letters: they are found, read aloud and small
    "svg.hashsalt": "marina",
    "text.parse_math": False,  # a "$" in a name is a "$"
    "axes.unicode_minus": True,
    "font.size": 10,
}


def svg(chart: Chart, name: str) -> str:
    """A chart as an element of a page, whose identifiers begin with ``name``."""
    with _settings():
        figure = Figure(figsize=SIZE_INCHES, layout="constrained")
        figure.patch.set_alpha(0)
        _draw(figure.subplots(), chart, PAGE)
        file = io.StringIO()
        figure.savefig(
            file, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
    text = file.getvalue()
    text = text[text.index("<svg") :]
    for colour, variable in OF_PAGE.items():
        text = text.replace(colour, variable)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", text)
    return _named(text, name)


def png(report: Report, headline: str, lines: list[str], path: Path) -> None:
    """All charts below what is said of them, as one picture."""
    drawn = list(charts(report))
    rows = -(-len(drawn) // COLUMNS)
    said = [part for line in lines for part in textwrap.wrap(line, LINE) or [""]]
    head = 0.75 + 0.19 * len(said)
    height = head + rows * 3.3
    with _settings():
        figure = Figure(figsize=(COLUMNS * 5.2, height), dpi=PNG_DPI)
        grid = figure.subplots(rows, COLUMNS, squeeze=False)
        figure.subplots_adjust(
            left=0.08, right=0.98, top=1 - (head + 0.65) / height, bottom=0.55 / height, hspace=0.75, wspace=0.24
        )
        colours = Colours()
        figure.text(0.03, 1 - 0.35 / height, headline, fontsize=15, fontweight="bold", color=colours.ink, va="center")
        figure.text(0.03, 1 - 0.6 / height, "\n".join(said), fontsize=9.5, color=colours.ink, va="top", linespacing=1.35)
        for index, axes in enumerate(grid.flat):
            if index < len(drawn):
                _draw(axes, drawn[index], colours)
                axes.set_title(drawn[index].title, loc="left", pad=38, fontweight="bold", color=colours.ink)
            else:
                axes.set_axis_off()
        figure.savefig(path, format="png", metadata={"Software": None, "Title": headline})


@contextmanager
def _settings() -> Iterator[None]:
    """Our settings; a letter that the font has not is shown as a box here, and as it is in a browser."""
    with matplotlib.rc_context(SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        yield


def _draw(axes: Axes, chart: Chart, colours: Colours) -> None:
    axes.set_facecolor("none")
    axes.grid(visible=True, color=colours.grid, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", colors=colours.faint, length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(colours.grid)
    chart.draw(axes, colours)
    for text in (axes.xaxis.label, axes.yaxis.label, axes.xaxis.get_offset_text()):
        text.set_color(colours.faint)
    legend = axes.get_legend()
    for entry in legend.get_texts() if legend else []:
        entry.set_color(colours.ink)


def _named(text: str, name: str) -> str:
    """With identifiers that no other picture of the page has."""
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', text)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", text)
