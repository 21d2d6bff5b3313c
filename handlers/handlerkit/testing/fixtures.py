"""The fixtures that ``pytest_plugins = ["handlerkit.testing"]`` brings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from handlerkit.testing.workers import Worker


@pytest.fixture
def archive() -> Path:
    """What ``worker`` loads; a test's own fixture of this name takes the place of this one."""
    pytest.fail("define a fixture named archive that returns a .mar, or the folder that handlerkit.testing.pack made", False)


@pytest.fixture
def worker(archive: str | Path) -> Iterator[Worker]:
    """The archive, loaded as a worker of TorchServe loads it."""
    with Worker.load(archive) as loaded:
        yield loaded
