"""What a person can get wrong with tune_model.py, said in one line before anything is built."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from documents import commands
from models import write_model
from scripts_of_ours import Ended, call_script, load_file
from surfaces import served

from marina import paths
from marina.errors import MarinaError
from marina.remembering import lock_beside
from marina.tuning import tuning
from marina.tuning.plan import Plan

CAPTURE = pytest.CaptureFixture[str]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A spec with two versions."""
    return write_model(tmp_path / "brightness")


def tune(capsys: CAPTURE, *arguments: str | Path) -> Ended:
    return call_script(capsys, "tune_model", *arguments)


def plan_of(model: Path, *options: str) -> Plan:
    script = load_file(paths.ROOT / "scripts" / "tune_model.py")
    plan: Plan = script._plan(script.parser().parse_args([str(model), "--version", "1", *options]))
    return plan


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "brightness has versions 1, 2: say which is tuned by --version"),
        (["--version", "3"], "brightness has no version 3; it has: 1, 2"),
        (["--version", "1", "--connections", "0"], "--connections 0: required from 1 to 1000"),
        (["--version", "1", "--agreement", "98"], "--agreement 98: required a share from 0 to 1, as 0.99"),
        (["--version", "1", "--weights", "none.pt"], "--weights none.pt: no such file"),
        (["--version", "1", "--as", "1"], "--as 1: is the version that is tuned: --in-place changes it"),
        (["--version", "1", "--as", "2"], "model.yaml: has a version 2 already: give another name by --as"),
        (["--version", "1", "--requests", "none.png"], "none.png: cannot be read: No such file or directory"),
    ],
)
def test_a_mistake_is_one_line(options: list[str], message: str, model: Path, capsys: CAPTURE) -> None:
    """What was required, what was found, what to do; exit code 2."""
    done = tune(capsys, model, *options)
    assert done.code == 2
    assert done.error.endswith(message)


def test_a_model_that_is_not_there_is_named_with_the_nearest(capsys: CAPTURE) -> None:
    """As by every script that takes a spec."""
    assert tune(capsys, "digitz").error.startswith("no spec 'digitz': did you mean 'digits'?")


@pytest.mark.parametrize("wrong", ["50", "0ms", "fast", "-5ms"])
def test_a_latency_has_a_unit(wrong: str, capsys: CAPTURE) -> None:
    """50 could be milliseconds or seconds."""
    with pytest.raises(SystemExit, match="2"):
        tune(capsys, "digits", f"--p99={wrong}")
    assert f"argument --p99: required a latency as 50ms or 0.2s; found '{wrong}'" in capsys.readouterr().err


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A spec that cannot be written, not by root either."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    if os.geteuid() != 0:
        write_model(folder).chmod(0o555)
        yield folder
        return
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(folder)], check=True)
    try:
        write_model(folder)
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_spec_that_cannot_be_written_is_said_before_anything_is_measured(read_only: Path, capsys: CAPTURE) -> None:
    """Where --write is given; without it nothing is written."""
    done = tune(capsys, read_only, "--version", "1", "--write", "--dry-run")
    assert done.code == 2
    assert re.fullmatch(
        r"--write: .*model.yaml cannot be written \(.* is not writable\): make it so, or leave --write out", done.error
    )
    assert tune(capsys, read_only, "--version", "1", "--dry-run").code == 0


def test_an_objective_that_nothing_meets_names_the_nearest(model: Path) -> None:
    """And what to allow."""
    plan = plan_of(model, "--p99", "5ms")
    point = plan.default
    with pytest.raises(MarinaError) as error:
        tuning._require_met(plan, point, served(120, 0.0124))
    assert str(error.value) == (
        "brightness 1: nothing that was tried gives most answers a second with p99 within 5 ms, 16 connections; the nearest is "
        f"{point}: 120.0 a second, p50 6.2 ms, p99 12.4 ms: allow --p99 14ms, or ask for fewer --connections"
    )
    tuning._require_met(plan, point, served(120, 0.004))


def test_the_plan_is_shown_without_measuring(model: Path, capsys: CAPTURE) -> None:
    """--dry-run says what there is to choose, and how much of it would be served; nothing is left behind."""
    done = tune(capsys, model, "--version", "1", "--runtimes", "openvino", "--dry-run", "--state", model.parent / "state")
    assert done.code == 0, done.err
    assert "torchscript fp32, openvino int8, openvino bf16, openvino fp32" in " ".join(done.out.split())
    assert not (model.parent / "state").exists()


def test_the_lowest_latency_is_of_one_connection(model: Path) -> None:
    """Whose batches are of one; more connections make it another question."""
    plan = plan_of(model, "--goal", "latency")
    assert (plan.objective.connections, plan.space.batches) == (1, (1,))
    assert plan_of(model, "--connections", "4").space.batches == (1, 2, 4)


def test_another_agreement_takes_the_place_of_the_specs(model: Path) -> None:
    """And makes what was measured under the spec's own no use."""
    plan, own = plan_of(model, "--agreement", "0.999"), plan_of(model)
    assert plan.found.spec.calibration.agreement == 0.999
    assert plan.conditions != own.conditions
    assert plan_of(model, "--p99", "50ms").conditions == own.conditions


def test_a_version_is_tuned_once_at_a_time(model: Path, tmp_path: Path) -> None:
    """Two at once would measure each other."""
    plan = plan_of(model, "--state", str(tmp_path / "state"))
    with lock_beside(plan.journal), pytest.raises(MarinaError, match="brightness 1: another process tunes it: let it finish"):
        tuning.tune(plan)


def test_the_commands_of_the_document_print_what_it_says(capsys: CAPTURE, tmp_path: Path) -> None:
    """Those that measure nothing; which formats there are, depends on the spec alone."""
    (command,) = [one for one in commands(paths.ROOT / "docs" / "performance.md") if "tune_model.py" in one.line]
    words = command.line.removeprefix("python scripts/tune_model.py ").split()
    done = tune(capsys, *words, "--state", tmp_path)
    assert command.printed(done.out), done.out
