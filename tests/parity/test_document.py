"""docs/roads.md's exports, typed into a shell from top to bottom, ExecuTorch's among them."""

from __future__ import annotations

from pathlib import Path

import pytest
from road_commands import CPP, EXPORTS, type_all
from roads_environment import PYTHON

from marina.paths import Store


@pytest.mark.timeout(1200)
def test_every_export_prints_what_the_page_says(specs_store: Store, tmp_path: Path) -> None:
    """In an environment that has what the page says to install; and the C++ program is built, and answers."""
    typed = [*EXPORTS, *(one for one in CPP if one not in EXPORTS)]
    type_all(typed, tmp_path, specs_store, str(PYTHON))
