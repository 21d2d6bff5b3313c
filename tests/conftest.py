"""With REQUIRE_ALL=1 nothing may be skipped; without it the end says what was, and why (pytest's -ra)."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from pathlib import Path

import pytest

from marina.paths import Store

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell has it for what it starts in the background: scripts would
    signal.signal(signal.SIGINT, signal.default_int_handler)  # inherit that, and not hear Ctrl-C


@pytest.fixture(scope="session")
def specs_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One store for the specs of this repository as they are shipped, so that a run of the tests trains each of them once.

    Both halves of ``make test`` build in the same one, whichever comes first.
    """
    return Store(Path(os.environ["TESTED_STORE"]) if "TESTED_STORE" in os.environ else tmp_path_factory.mktemp("specs"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Make a skipped test a failed one where completeness is asked for."""
    report = yield
    if report.skipped and os.environ.get("REQUIRE_ALL") == "1":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"REQUIRE_ALL=1, but this test was skipped: {reason}"
    return report
