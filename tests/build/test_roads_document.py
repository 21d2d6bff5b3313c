"""What docs/roads.md says to type: run here, where it is quick, else by the tests that are named."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from documents import Command
from road_commands import COMMANDS, CPP, EDGE, ELSEWHERE, EXPORTS, with_store
from scripts_of_ours import call_script

from marina import paths
from marina.paths import Store

HERE = [one for one in EXPORTS if one not in (*CPP, *EDGE)]


@pytest.mark.filterwarnings("ignore")  # of torch's exporters
@pytest.mark.parametrize("command", HERE, ids=lambda one: one.line.rpartition("/")[2])
def test_an_export_prints_what_the_page_says(
    command: Command, specs_store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Called with the arguments that stand there; make parity types them in a shell."""
    monkeypatch.chdir(tmp_path)
    python, script, *arguments = shlex.split(with_store(command.line, specs_store))
    assert (python, script) == ("python", "scripts/export_model.py")
    done = call_script(capsys, "export_model", *arguments)
    assert done.code == 0, done.err
    assert command.printed(done.out), done.out


def test_every_command_of_the_page_is_run_somewhere() -> None:
    """Here, beside the C++ program, by make parity, or by a test that is named."""
    assert {one.line.rpartition("/")[2] for one in HERE} == {"digits-onnx", "triton", "digits-sagemaker"}
    rest = [one.line for one in COMMANDS if one not in (*HERE, *CPP, *EDGE)]
    assert len(rest) == len(ELSEWHERE)
    for line, (start, test) in zip(rest, ELSEWHERE.items(), strict=True):
        assert line.startswith(start)
        assert (paths.ROOT / test).is_file()
