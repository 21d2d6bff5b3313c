"""Whatever a handler does when it is tried, the build ends with one line that says so."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from models import SPEC, write_model
from scripts_of_ours import call_script

from marina import paths
from marina.paths import Store

ONE = {"1": SPEC["versions"]["2"]}
OURS = "from handlerkit import ModelHandler\n\n\nclass Mine(ModelHandler):\n    pass\n"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import no_such_module", "does not load: ModuleNotFoundError: No module named 'no_such_module'"),
        ("import rules", "does not load: ModuleNotFoundError: No module named 'missing_below'"),
        (
            "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
            "its process was killed (SIGKILL), as Linux does when memory",
        ),
        ("import os\nos.abort()", "its process crashed (SIGABRT)"),
        ("import os\nos._exit(0)", "its process ended with exit code 0 and without a word"),
        ("import sys\nsys.exit('mine own reason')", "does not load: mine own reason"),
        ("import sys\nsys.stderr.buffer.write(bytes([255, 10]))\nsys.exit(1)", "does not load: \N{REPLACEMENT CHARACTER}"),
    ],
)
def test_a_handler_that_ends_its_process_is_one_line(
    code: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The true cause, also where it lies in a file that the handler imports; nothing is left in the store."""
    files = {"mine.py": f"{code}\n{OURS}", "rules.py": "import missing_below\n"}
    model, store = write_model(tmp_path / "model", files, handler="mine.py", files=["rules.py"], versions=ONE), tmp_path / "store"
    done = call_script(capsys, "build_mar", model, "--store", store)
    assert done.code == 1
    assert reason in done.error
    assert not list(Store(store).archives.iterdir())
    assert not list(store.glob(".build-*"))


def test_a_handler_that_hangs_is_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After the time that preflight has; what it started ends with it."""
    code = "import subprocess, sys\nprint('waiting', file=sys.stderr, flush=True)\nsubprocess.run(['sleep', '4242.4242'])\n"
    model = write_model(tmp_path / "model", {"mine.py": code + OURS}, handler="mine.py", versions=ONE)
    done = call_script(capsys, "build_mar", model, "--store", tmp_path / "store", "--preflight-timeout", "10")
    assert "brightness-1.mar did not finish its preflight in 10 seconds: give it more time by --preflight-timeout" in done.error
    assert done.error.endswith("its last words: waiting")
    assert not [one for one in psutil.process_iter(["cmdline"]) if "4242.4242" in (one.info["cmdline"] or [])]


def test_what_a_handler_prints_is_no_matter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also much of it, and what is no text."""
    code = "import sys\nsys.stdout.buffer.write(bytes(range(256)) * 8000)\n"
    ours = (paths.HANDLERS / "image_classifier.py").read_text().replace("from __future__ import annotations", "")
    model = write_model(tmp_path / "model", {"printing.py": code + ours}, handler="printing.py", versions=ONE)
    done = call_script(capsys, "build_mar", model, "--store", tmp_path / "store")
    assert done.code == 0, done.err


def test_a_handler_may_answer_with_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Then no class of its sample's answer is compared."""
    ours, hook = (paths.HANDLERS / "image_classifier.py").read_text(), "return best_classes("
    assert hook in ours
    files = {"text.py": ours.replace(hook, f"return 'seen' or {hook.removeprefix('return ')}")}
    model = write_model(tmp_path / "model", files, handler="text.py", versions=ONE, sample={"request": "light.png"})
    done = call_script(capsys, "build_mar", model, "--store", tmp_path / "store")
    assert done.code == 0, done.err
