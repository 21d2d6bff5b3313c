"""A report on an experiment: right in its figures, whole in one file, and good to read in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import browser, text_of
from PIL import Image
from scripts_of_ours import Ended, call_script
from selenium import webdriver
from selenium.webdriver.common.by import By
from traffic_stories import BEGIN, HOUR, REQUESTS, tell

from marina.comparing.judging import Asked
from marina.comparing.report import Report, gather
from marina.comparing.report_charts import intended
from marina.comparing.report_page import html
from marina.comparing.traffic import Traffic
from marina.comparing.traffic_rows import Request
from marina.paths import State

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    state = State(tmp_path_factory.mktemp("report"))
    with Traffic(state, create=True) as traffic:
        tell(traffic)
    return state


@pytest.fixture(scope="module")
def report(state: State) -> Report:
    with Traffic(state) as traffic:
        return gather(traffic, Asked("digits", "1.0"))


@pytest.fixture(scope="module")
def page(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(html(report), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def chromium() -> Iterator[webdriver.Chrome]:
    with browser() as started:
        yield started


def called(capsys: pytest.CaptureFixture[str], state: State, *arguments: str | Path) -> Ended:
    return call_script(capsys, "report_ab", "digits", "--state", state.folder, "--control", "1.0", *arguments)


def test_the_figures_are_those_of_the_record(report: Report) -> None:
    """Each arm's, the control first; 2.0 is better by what the outcomes say."""
    control, other = report.arms
    assert (control.version, control.weight, other.version, other.weight) == ("1.0", 50, "2.0", 50)
    assert control.requests + other.requests == report.requests == REQUESTS
    assert control.rescued == 0
    assert other.rescued == pytest.approx(0.01 * other.requests, rel=0.5)
    assert other.errors == other.rescued / other.requests
    assert other.latency is not None
    assert other.latency.p50 == pytest.approx(20, rel=0.05)
    assert sum(other.latency.counts) == pytest.approx(other.requests - other.rescued, rel=0.01)
    assert other.means["correct"] == pytest.approx(0.97, abs=0.01)
    assert other.seen == pytest.approx(other.intended, abs=0.03)
    assert control.keys + other.keys > report.keys, "a key that the second step moved is in both arms"
    states = {one.question.metric: one.state for one in report.verdicts}
    assert (states["correct"], states["latency_seconds"]) == ("better", "worse")
    (shadow,) = report.shadows
    assert (shadow.requests, shadow.same_label, shadow.distance) == (200, 0.75, 0.25)
    assert (shadow.live_p50_ms, shadow.shadow_p50_ms) == (4, 8)


def test_the_split_is_shown_as_intended_and_as_seen(report: Report) -> None:
    """In steps where it was changed, and by the keys of each part of the time."""
    steps = intended(report, "2.0")
    assert [share for _, share in steps] == [20, 50, 50]
    assert steps[1][0] == BEGIN + 6 * HOUR
    seen = [share for share in report.seen.shares["2.0"] if share is not None]
    assert seen[5] == pytest.approx(0.2, abs=0.12)
    assert seen[-5] == pytest.approx(0.5, abs=0.15)
    for shares in zip(*report.seen.shares.values(), strict=True):
        assert sum(share or 0 for share in shares) == pytest.approx(1)


def test_the_page_needs_nothing_but_itself(page: Path) -> None:
    """No address is loaded, no script is run, and its policy would not let it."""
    text = page.read_text()
    assert "default-src 'none'" in text
    assert not re.search(r"<(script|link|iframe|img|object)\b|@import|\bon\w+=", text)
    links = set(re.findall(r"(?:src|href)=\"([^\"]*)\"", text))
    assert all(link.startswith("#") for link in links)
    assert set(re.findall(r"url\(([^)]*)\)", text)) <= {f"#{name}" for name in re.findall(r'id="([^"]+)"', text)}
    names = re.findall(r'\bid="([^"]+)"', text)
    assert len(names) == len(set(names))
    assert "<b>now</b>" not in text
    assert "&lt;b&gt;now&lt;/b&gt;" in text
    assert len(text) < 400_000


def test_a_browser_shows_it(page: Path, chromium: webdriver.Chrome) -> None:
    """What it says can be read, each picture has a name and a description, and nothing was complained of."""
    chromium.get(page.as_uri())
    text = text_of(chromium)
    assert chromium.title.startswith(
        "digits, experiment trial: 2.0 against 1.0: better in correct, worse in error, latency_seconds"
    )
    for part in ("correct: 2.0 is better than 1.0", "1.0 (control)", "2.0 gets 50 % <b>now</b>", "75.0 %", "split of now"):
        assert part in text
    pictures = chromium.find_elements(By.CSS_SELECTOR, "[role=img]")
    assert len(pictures) == 5
    for picture in pictures:
        assert picture.accessible_name
        assert chromium.find_element(By.ID, picture.get_attribute("aria-describedby") or "").text
        assert picture.size["height"] > 150
    titles = [element.text for element in chromium.find_elements(By.CSS_SELECTOR, "figure h3")]
    assert titles[0] == "correct: 2.0 less 1.0"
    assert chromium.get_log("browser") == []


@pytest.mark.parametrize(("width", "height"), [(390, 844), (820, 1180), (1600, 1000)])
def test_it_fits_a_phone_a_tablet_and_a_desk(page: Path, chromium: webdriver.Chrome, width: int, height: int) -> None:
    """Nothing sticks out sideways, and the letters of the charts stay large enough to read."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        chromium.get(page.as_uri())
        assert chromium.execute_script("return document.documentElement.scrollWidth") <= width
        letters = "return [...document.querySelectorAll('figure svg text')].map(e => e.getBoundingClientRect().height)"
        assert min(chromium.execute_script(letters)) > 8
    finally:
        chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_by_day_and_by_night(page: Path, chromium: webdriver.Chrome, scheme: str) -> None:
    """All text, that of the charts too, stands out from what is behind it by 4.5 to 1, as WCAG 2 asks for."""
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    chromium.get(page.as_uri())
    assert chromium.execute_script(LOWEST_CONTRAST) >= 4.5


LOWEST_CONTRAST = """
const parts = text => text.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b].map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = element => {
  for (; element; element = element.parentElement) {
    const colour = parts(getComputedStyle(element).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
};
let lowest = 21;
for (const element of document.querySelectorAll('body *')) {
  const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
  if (!own || element.closest('style')) continue;
  const style = getComputedStyle(element);
  const [a, b] = [light(parts(element.closest('svg') ? style.fill : style.color)), light(behind(element))];
  lowest = Math.min(lowest, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
}
return lowest;
"""


def test_names_from_outside_stay_text(tmp_path: Path, chromium: webdriver.Chrome) -> None:
    """A model and a metric that are called like a script, or like a formula, are shown as they are called."""
    with Traffic(State(tmp_path), create=True) as traffic:
        tell(traffic, HOSTILE, "$x_{1}^2$ 数")
        report = gather(traffic, Asked(HOSTILE, "1.0"))
    path = tmp_path / "report.html"
    path.write_text(html(report), encoding="utf-8")
    chromium.get(path.as_uri())
    assert HOSTILE in text_of(chromium)
    assert "$x_{1}^2$ 数: 2.0 less 1.0" in text_of(chromium)
    assert chromium.find_elements(By.TAG_NAME, "script") == []


def test_it_can_be_had_as_a_page_a_picture_and_json(state: State, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The suffix says which; each says the same."""
    for suffix in ("html", "png", "json"):
        done = called(capsys, state, "--to", tmp_path / f"report.{suffix}")
        assert done.code == 0, done.err
        assert done.out.startswith("2.0 against 1.0: better in correct, worse in error")
        assert done.out.splitlines()[-1] == str(tmp_path / f"report.{suffix}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json", "report.png"]
    with Image.open(tmp_path / "report.png") as picture:
        assert picture.width > 1000
        assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 100
    content = json.loads((tmp_path / "report.json").read_text())
    assert content["judgement"]["verdicts"][0]["verdict"] == "better"
    assert [arm["version"] for arm in content["arms"]] == ["1.0", "2.0"]
    assert len(content["events"]) == 2
    assert content["splits"][1]["weights"] == {"1.0": 50, "2.0": 50}


def test_what_cannot_be_judged_is_reported_all_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the reason in place of the verdict."""
    with Traffic(State(tmp_path), create=True) as traffic:
        traffic.add_requests(
            [Request("r", BEGIN, "digits", "predictions", 200, "trial", "k", "header", "1.0", "1.0", 200, 0.01, 1)]
        )
    for suffix in ("html", "png", "json"):
        done = called(capsys, State(tmp_path), "--to", tmp_path / f"report.{suffix}")
        assert (done.code, done.out.splitlines()[0]) == (
            0,
            "Nothing can be judged: two arms are required; all requests of experiment trial were assigned to 1.0.",
        )
    assert "Nothing can be judged: two arms are required" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--to", "report.pdf"], 2, "--to report.pdf: required a name that ends in .html, .png, .json"),
        (["--to", "none/report.html"], 1, "none/.report.html.unfinished: No such file or directory"),
        (["--experiment", "trail"], 2, "digits: no experiment 'trail' is in the record: did you mean 'trial'?"),
        (["--metric", "corect"], 2, "the record has no metric 'corect' in experiment trial: did you mean 'correct'?"),
        (["--until", "2020-01-01"], 1, "digits: the record has no request of experiment trial at that time"),
    ],
)
def test_a_wrong_command_is_told(
    state: State, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    """In one line."""
    done = called(capsys, state, *arguments)
    assert done.code == code, done.err
    assert message in done.error
