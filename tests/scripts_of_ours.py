"""Run a script as a person runs it, in a process of its own, or, where seconds count, in this one."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from marina import paths


@dataclass(frozen=True)
class Ended:
    """How a script ended; ``out`` is its results, ``err`` its progress and its errors."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that says what was wrong."""
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        return lines[0].removeprefix("error: ")


def run_script(
    name: str, *arguments: str | Path, stdin: bytes = b"", environment: dict[str, str] | None = None, seconds: float = 280
) -> Ended:
    """Run ``scripts/<name>.py`` in the repository's folder."""
    done = subprocess.run(
        [sys.executable, str(paths.ROOT / "scripts" / f"{name}.py"), *map(str, arguments)],
        cwd=paths.ROOT,
        env=os.environ | (environment or {}),
        input=stdin,
        capture_output=True,
        timeout=seconds,
        check=False,
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


def call_script(capture: pytest.CaptureFixture[str], name: str, *arguments: str | Path) -> Ended:
    """Call the ``main`` of ``scripts/<name>.py`` in this process."""
    module = load_file(paths.ROOT / "scripts" / f"{name}.py")
    capture.readouterr()
    code = module.main([*map(str, arguments)])
    return Ended(code, *capture.readouterr())


def load_file(path: Path) -> Any:
    """A Python file of ours that is in no package, imported by its path."""
    spec = importlib.util.spec_from_file_location(f"loaded_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
