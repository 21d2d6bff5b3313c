"""apply_deployment.py against a real TorchServe: what it does, what it refuses, and what becomes of it when it is killed."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from killing import kill_at_step, script
from models import write_model
from scripts_of_ours import Ended, run_script
from servers import READY, Serving, eventually, serving

from marina.paths import Store
from marina.serving.free_ports import free_ports
from marina.serving.management import Management, Running

ONE = '{default: "1", versions: {"1": {workers: 1, batch_size: 1}}}'
BOTH = '{default: "2", versions: {"1": {workers: 1, batch_size: 1}, "2": {workers: 2}}}'


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose workers start fast."""
    return write_model(tmp_path_factory.mktemp("specs") / "brightness")


@pytest.fixture(scope="module")
def served(spec: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server of its version 1."""
    folder = tmp_path_factory.mktemp("applying")
    store = Store(folder / "store")
    assert run_script("build_mar", spec, "--store", store.folder).code == 0
    with serving(free_ports(), store, folder, "--deployment", written(folder, spec, ONE)) as started:
        started.wait_for_output(READY)
        yield started


@pytest.fixture(autouse=True)
def begun(served: Serving, spec: Path) -> None:
    """Every test begins with version 1 alone."""
    assert apply(served, spec, ONE, "--prune", "--allow-gap").code == 0


def written(folder: Path, spec: Path, model: str) -> Path:
    """A deployment of one model."""
    file = folder / "wanted.yaml"
    file.write_text(f"models: {{brightness: {{spec: {spec}, {model[1:]}}}")
    return file


def arguments(served: Serving, spec: Path, model: str) -> list[str | Path]:
    deployment = written(served.folder, spec, model)
    return ["--deployment", deployment, "--store", served.store.folder, "--state", served.folder / "state"]


def apply(served: Serving, spec: Path, model: str, *more: str) -> Ended:
    return run_script("apply_deployment", *arguments(served, spec, model), *more, environment=served.environment)


def running(served: Serving) -> dict[str, Running]:
    return Management(served.url("", "management")).versions("brightness")


@contextmanager
def asked(served: Serving, spec: Path) -> Iterator[Counter[int]]:
    """Ask the default version all the while, from two connections; counts statuses."""
    statuses: Counter[int] = Counter()
    stopping = threading.Event()
    light = (spec / "light.png").read_bytes()

    def ask() -> None:
        while not stopping.is_set():
            statuses[served.ask("/predictions/brightness", light).status_code] += 1

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


def test_a_plan_is_shown_and_nothing_changed(served: Serving, spec: Path) -> None:
    """--plan ends with 0, --check with 1 where there is something to do; programs read both as JSON."""
    before = running(served)
    plan = apply(served, spec, BOTH, "--plan")
    assert (plan.code, plan.out.splitlines()) == (
        0,
        [
            "1. brightness 2: register brightness-2.mar: workers 2, batch size 1, delay 1 ms",
            "2. brightness: default 1 → 2",
            "3. gateway: brightness: default 1 → 2; brightness: versions 1 → 1, 2",
        ],
    )
    check = apply(served, spec, BOTH, "--check", "--json")
    assert check.code == 1
    assert [step["action"] for step in json.loads(check.out)["steps"]] == ["register", "default", "gateway"]
    assert running(served) == before
    settled = apply(served, spec, ONE, "--check")
    assert (settled.code, settled.out) == (0, "nothing to do\n")


def test_what_is_wanted_comes_and_what_is_not_goes_without_an_unanswered_request(served: Serving, spec: Path) -> None:
    """There and back, the default moved, an arm registered again for its batch size; the second run has nothing to do."""
    with asked(served, spec) as statuses:
        assert apply(served, spec, BOTH).out == "3 steps done\n"
        assert {version: len(one.workers) for version, one in running(served).items()} == {"1": 1, "2": 2}
        assert apply(served, spec, BOTH).out == "nothing to do\n"
        assert apply(served, spec, BOTH.replace("workers: 2", "workers: 1, batch_size: 4")).code == 0
        assert running(served)["2"].batch_size == 4
        assert apply(served, spec, ONE).code == 0
    assert list(running(served)) == ["1"]
    assert set(statuses) == {200}


def test_what_cannot_be_done_without_a_gap_is_refused(served: Serving, spec: Path) -> None:
    """The only version answers; it stays as it is until a gap is allowed."""
    wanted = ONE.replace("batch_size: 1", "batch_size: 3")
    done = apply(served, spec, wanted)
    assert done.code == 1
    assert done.error.startswith("brightness 1: batch size 1 → 3: this needs it registered again, and no other version")
    assert "refused: brightness 1" in apply(served, spec, wanted, "--plan").out
    assert running(served)["1"].batch_size == 1
    assert apply(served, spec, wanted, "--allow-gap").code == 0
    assert running(served)["1"].batch_size == 3


def test_what_was_registered_by_hand_is_left_alone(served: Serving, spec: Path) -> None:
    """It is named; --prune takes it away."""
    register = run_script(
        "register_model", "--store", served.store.folder, "register", "brightness", "2", environment=served.environment
    )
    assert register.code == 0, register.err
    done = apply(served, spec, ONE)
    assert (done.out, "2" in running(served)) == ("nothing to do\n", True)
    assert "brightness 2: registered by hand, left as it is; --prune unregisters it" in done.err
    assert apply(served, spec, ONE, "--prune").code == 0
    assert list(running(served)) == ["1"]


def test_an_apply_can_be_killed_at_every_step(served: Serving, spec: Path) -> None:
    """All requests are answered meanwhile, and the run that is let through does the rest."""
    with asked(served, spec) as statuses:
        with started(served, spec, BOTH) as process:
            assert eventually(lambda: "2" in running(served))
            process.send_signal(signal.SIGKILL)
        assert "see that it answers: an apply was stopped before" in apply(served, spec, BOTH, "--plan").out
        with started(served, spec, BOTH) as process:
            assert kill_at_step(process, 2)
        assert apply(served, spec, BOTH).code == 0
        with started(served, spec, ONE) as process:
            assert kill_at_step(process, 1)
        with started(served, spec, ONE) as process:
            assert kill_at_step(process, 1)
        assert apply(served, spec, ONE).code == 0
    assert apply(served, spec, ONE, "--check").code == 0
    assert list(running(served)) == ["1"]
    assert set(statuses) == {200}


def test_two_applies_do_not_meet(served: Serving, spec: Path) -> None:
    """The second is told that another is at work, and changes nothing."""
    with started(served, spec, BOTH) as first:
        assert eventually(lambda: "2" in running(served))
        assert apply(served, spec, ONE).error.startswith("another apply is at work on this state")
        assert first.wait(60) == 0
    assert apply(served, spec, BOTH, "--check").code == 0


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ('{default: "1", versions: {"1": , "3": }}', "brightness 3 is not in"),
        ('{default: "3", versions: {"1": }}', "the default, 3, is not among the versions: 1"),
    ],
)
def test_a_wrong_deployment_changes_nothing(served: Serving, spec: Path, model: str, message: str) -> None:
    """All is looked at before anything is done."""
    before = running(served)
    assert message in apply(served, spec, model).error
    assert running(served) == before


def test_no_server_is_one_line(served: Serving, spec: Path) -> None:
    """The address that was tried."""
    done = run_script("apply_deployment", *arguments(served, spec, ONE), "--management", "http://127.0.0.1:1")
    assert done.error == "no Management API answers at http://127.0.0.1:1: start one with make serve"


def started(served: Serving, spec: Path, model: str) -> AbstractContextManager[subprocess.Popen[str]]:
    """An apply that runs."""
    return script("apply_deployment", *arguments(served, spec, model), environment=served.environment)
