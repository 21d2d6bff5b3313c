"""The page in the browser: a real server and gateway, Gradio in its own environment, Chromium."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from browser import browser, text_of
from PIL import Image
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By
from servers import SAMPLE, Serving, eventually

from marina import paths
from marina.serving.free_ports import free_ports
from marina.serving.polling import wait_for

PYTHON = paths.ROOT / ".venv" / "playground" / "bin" / "python"
SCRIPT = paths.ROOT / "scripts" / "open_playground.py"
RUNNING = "Running on local URL"
START_SECONDS = 90


def gateway(server: Serving, path: str) -> str:
    """An address of the server's gateway."""
    return f"http://127.0.0.1:{server.ports.gateway_port}{path}"


@pytest.fixture(scope="module")
def address(server: Serving, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the page is served."""
    if not PYTHON.exists():
        pytest.skip("Gradio's environment is not there: make setup-playground")
    port, output = free_ports().exporter_port, tmp_path_factory.mktemp("playground") / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [PYTHON, "-u", SCRIPT, "--port", str(port), "--state", server.folder / "state"],
            env=os.environ | server.environment,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        assert wait_for(lambda: RUNNING in output.read_text() or process.poll(), START_SECONDS) is True, output.read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def page(address: str) -> Iterator[Chrome]:
    """The page, with the sample dropped on it."""
    with browser() as chromium:
        chromium.get(address)
        assert eventually(lambda: bool(chromium.find_elements(By.CSS_SELECTOR, "input[type=file]")))
        chromium.find_element(By.CSS_SELECTOR, "input[type=file]").send_keys(str(SAMPLE))
        assert eventually(lambda: len(chromium.find_elements(By.CSS_SELECTOR, ".why img")) == 2), text_of(chromium)
        yield chromium


def test_every_arm_answers_side_by_side(page: Chrome) -> None:
    """Both versions say seven, each under its name, with the picture of what spoke for it."""
    shown = text_of(page)
    for version in ("1.0", "2.0"):
        assert f"{version} says" in shown
        assert f"answered as {version} in " in shown
    assert shown.count("50 % of callers · 1/1 workers READY") == 2
    pictures = page.find_elements(By.CSS_SELECTOR, ".why img")
    widths = [page.execute_script("return arguments[0].naturalWidth", one) for one in pictures]
    assert min(widths) > 100
    left, right = (one.location["x"] for one in pictures)
    assert left != right


def test_the_arm_is_the_gateway_s(page: Chrome, server: Serving) -> None:
    """What the page says of a caller is what that caller gets."""
    for caller in ("ana", "bo", "carl", "dora"):
        box = page.find_element(By.CSS_SELECTOR, "#caller textarea, #caller input")
        box.send_keys(Keys.CONTROL, "a")
        box.send_keys(caller, Keys.ENTER)
        url, headers = gateway(server, "/predictions/digits"), {"X-User-Id": caller}
        assigned = requests.post(url, SAMPLE.read_bytes(), headers=headers, timeout=60).headers["X-Assigned-Version"]
        assert eventually(lambda found=f"{caller} gets {assigned}.": found in text_of(page)), text_of(page)  # type: ignore[misc]


def test_what_a_handler_refuses_is_said_on_the_page(page: Chrome, address: str, tmp_path: Path) -> None:
    """The handler's own sentence, in each arm's column: it takes no TIFF."""
    Image.open(SAMPLE).save(tmp_path / "seven.tiff")
    page.get(address)
    assert eventually(lambda: bool(page.find_elements(By.CSS_SELECTOR, "input[type=file]")))
    page.find_element(By.CSS_SELECTOR, "input[type=file]").send_keys(str(tmp_path / "seven.tiff"))
    assert eventually(lambda: text_of(page).count("422: Not an image") == 2), text_of(page)


def test_it_asks_nobody_outside(page: Chrome, address: str) -> None:
    """Fonts, scripts and pictures come from this machine."""
    names = page.execute_script("return performance.getEntriesByType('resource').map(one => one.name)")
    assert names
    assert [name for name in names if not name.startswith((address, "data:", "blob:"))] == []


def test_a_question_for_an_arm_is_no_request(server: Serving) -> None:
    """/assignments says the arm that a caller's requests go to, and leaves no line in the access log."""
    log = server.folder / "state" / "traffic" / "access.log"
    for caller in ("eve", "fred", "gina"):
        told = requests.get(gateway(server, "/assignments/digits"), headers={"X-User-Id": caller}, timeout=30)
        sent = requests.post(
            gateway(server, "/predictions/digits"), SAMPLE.read_bytes(), headers={"X-User-Id": caller}, timeout=30
        )
        assert told.json() == {"model": "digits", "version": sent.headers["X-Assigned-Version"]}
        assert told.headers["Content-Type"] == "application/json"
    assert eventually(lambda: '"key":"gina"' in log.read_text())
    assert log.read_text().count('"key":"gina"') == 1
    assert requests.get(gateway(server, "/assignments/none"), timeout=30).status_code == 404
