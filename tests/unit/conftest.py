"""What unit tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from databases import PostgreSQL, postgresql, programs


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgreSQL]:
    """A PostgreSQL server, shared by the tests that make databases of their own on it."""
    folder = programs()
    if folder is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt install postgresql)")
    with postgresql(folder) as started:
        yield started
