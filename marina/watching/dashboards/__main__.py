"""Write the dashboards' files anew: python -m marina.watching.dashboards."""

from __future__ import annotations

import json
from pathlib import Path

from marina import paths
from marina.watching.dashboards import arms_page, machine_page, model_page

FOLDER = paths.CONFIG / "grafana" / "dashboards"
PAGES = (model_page.PAGE, arms_page.PAGE, machine_page.PAGE)


def files() -> dict[Path, str]:
    """What each file should hold."""
    return {FOLDER / f"{page.name}.json": json.dumps(page.json(), indent=1, ensure_ascii=False) + "\n" for page in PAGES}


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
