"""A real browser, without a window."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

WIDTH, HEIGHT = 1400, 1000


@contextmanager
def browser(width: int = WIDTH, height: int = HEIGHT) -> Iterator[webdriver.Chrome]:
    """Chromium; the test is skipped where the machine has none."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("chromium and chromedriver are not on the path")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", f"--window-size={width},{height}"):
        options.add_argument(argument)
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield started
    finally:
        started.quit()


def text_of(page: webdriver.Chrome) -> str:
    """All text that the page shows."""
    return page.find_element(By.TAG_NAME, "body").text
