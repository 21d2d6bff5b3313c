"""Load an archive in a process of its own, as a worker does, and say what is in memory then."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

CODE = """
import json, sys
folder, sys.argv = sys.argv[1], ["", "", ""]
from pathlib import Path
from marina.paths import METRICS_CONFIG
from marina.store.preflight_worker import load
load(Path(folder), str(METRICS_CONFIG))
print(json.dumps(sorted(sys.modules)))
"""


def unpacked(archive: Path, folder: Path) -> Path:
    """The folder, with the archive's files in it."""
    zipfile.ZipFile(archive).extractall(folder)
    return folder


def load_in_a_process(folder: Path) -> subprocess.CompletedProcess[str]:
    """Load an unpacked archive; the last line printed is a JSON list of the modules that this has imported."""
    environment = os.environ | {"PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, "-c", CODE, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
