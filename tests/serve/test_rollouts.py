"""roll_out.py and roll_back.py under load, against a real gateway and a real TorchServe."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from callers import Callers, calling
from killing import kill_at_step, script
from misbehaving import write_misbehaving
from scripts_of_ours import Ended, run_script
from servers import READY, Serving, eventually, serving

from marina.comparing.live import read_live
from marina.comparing.rollout import Record, Rollout
from marina.gateway.gateway import Gateway
from marina.paths import State, Store
from marina.serving.free_ports import free_ports

QUICK = ("--steps", "20,60,100", "--bake", "2s", "--min-requests", "30", "--max-bake", "60s", "--p99-ratio", "8", "--yes")
DEPLOYMENT = (
    'models: {{moody: {{spec: {spec}, default: "1", split: {{weights: {{"1": 100}}}}, objectives: {{errors_percent: 5}}, '
    'versions: {{"1": , "2": , failing: }}}}}}'
)
BEFORE = {"1": 100.0}

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two good versions, and one that fails; tests/serve/test_story.py has those that are bad otherwise."""
    return write_misbehaving(tmp_path_factory.mktemp("specs") / "moody")


@pytest.fixture(scope="module")
def served(spec: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """All of them behind a gateway; every caller gets version 1."""
    folder = tmp_path_factory.mktemp("rollouts")
    (folder / "deployment.yaml").write_text(DEPLOYMENT.format(spec=spec))
    store = Store(folder / "store")
    assert run_script("build_mar", spec, "--store", store.folder).code == 0
    with serving(free_ports(), store, folder, "--deployment", folder / "deployment.yaml") as started:
        started.wait_for_output(READY, 300)
        yield started


@pytest.fixture
def callers(served: Serving, spec: Path) -> Iterator[Callers]:
    """People who ask for dark and light images."""
    payloads = [path.read_bytes() for path in sorted((spec / "requests").iterdir())]
    with calling(f"http://127.0.0.1:{served.ports.gateway_port}/predictions/moody", payloads) as found:
        yield found


@pytest.fixture(autouse=True)
def begun(served: Serving) -> Iterator[None]:
    """Every test begins, and ends, with version 1 alone."""
    yield
    if Record(state(served), "moody").read() is not None:
        assert roll_back(served).code == 0
    assert shares(served) == BEFORE


def state(served: Serving) -> State:
    return State(served.folder / "state")


def gateway(served: Serving) -> Gateway:
    return Gateway(state(served), f"http://127.0.0.1:{served.ports.gateway_internal_port}")


def shares(served: Serving) -> dict[str, float]:
    """Weights above nothing, as the gateway has taken them."""
    return {version: weight for version, weight in gateway(served).splits()["moody"].weights.items() if weight}


def places(served: Serving) -> list[str | Path]:
    return ["--deployment", served.folder / "deployment.yaml", "--store", served.store.folder, "--state", state(served).folder]


def roll_out(served: Serving, *arguments: str | Path) -> Ended:
    return run_script("roll_out", "moody", *arguments, *places(served), environment=served.environment)


def roll_back(served: Serving) -> Ended:
    return run_script("roll_back", "moody", "--state", state(served).folder, environment=served.environment)


def left(served: Serving) -> Rollout:
    found = Record(state(served), "moody").read()
    assert found is not None
    return found


def happened(served: Serving) -> list[str]:
    """What the record says happened in the last rollout."""
    lines = [json.loads(line) for line in Record(state(served), "moody").lines.read_text().splitlines()]
    return [line["event"] for line in lines if line["began"] == lines[-1]["began"]]


def rolling(served: Serving, *arguments: str) -> AbstractContextManager[subprocess.Popen[str]]:
    """A rollout that runs."""
    return script("roll_out", "moody", *arguments, *places(served), environment=served.environment)


def wait_for_step(served: Serving, percent: float) -> None:
    """Wait until the candidate has a share."""
    assert eventually(lambda: shares(served).get("2") == percent, 90), Record(state(served), "moody").read()


def test_a_deployment_is_applied_under_load_and_killed_at_every_step(served: Serving, spec: Path, callers: Callers) -> None:
    """The split moves, an arm with weight is registered again while another answers for it, and no request is lost."""
    file = served.folder / "other.yaml"
    file.write_text(
        DEPLOYMENT.format(spec=spec).replace('{"1": 100}', '{"1": 30, "2": 70}').replace('"1": ,', '"1": {batch_size: 2},')
    )
    arguments = ["--deployment", file, *places(served)[2:]]
    plan = run_script("apply_deployment", *arguments, "--plan", "--json", environment=served.environment)
    steps = [step["action"] for step in json.loads(plan.out)["steps"]]
    assert steps == ["gateway", "split", "default", "unregister", "register", "default", "split"]
    for number in (1, 2, 2, 2, 2):
        with script("apply_deployment", *arguments, environment=served.environment) as process:
            kill_at_step(process, number)
    done = run_script("apply_deployment", *arguments, environment=served.environment)
    assert done.code == 0, done.err
    assert run_script("apply_deployment", *arguments, "--check", environment=served.environment).code == 0
    assert shares(served) == {"1": 30.0, "2": 70.0}
    assert run_script("apply_deployment", *places(served), environment=served.environment).code == 0
    callers.stop()
    assert (callers.of("1"), callers.of("2"), callers.failed) == ({200}, {200}, [])


def test_a_good_version_gets_all_requests_and_gives_them_back(served: Serving, callers: Callers) -> None:
    """No request is lost on the way, nor on the way back; the live split outlives the file, and each step is on record.

    So it is with copies, which end with the rollout.
    """
    done = roll_out(served, "2", *QUICK, "--shadow", "50")
    assert done.code == 0, done.err
    assert "moody: 2 gets copies of 50 % of the requests\n" in done.err
    assert len(re.findall(r" % held: .*; \d+ of \d+ copies answered alike", done.err)) == 2
    assert gateway(served).deployment().models["moody"].shadow is None
    assert done.out.startswith("moody: done: 1 0 %, 2 100 %\n")
    assert shares(served) == {"2": 100.0}
    assert happened(served) == ["began", *["step", "passed"] * 3, "done"]
    check = run_script("apply_deployment", *places(served), "--check", environment=served.environment)
    assert (check.code, check.out) == (0, "nothing to do\n")
    assert "moody: 1 0 %, 2 100 % stands, by the rollout of 2; --as-file takes the file's 1 100 %" in check.err
    assert roll_back(served).out == "moody: rolled back to 1 100 %, 2 0 %: asked for by roll_back.py\n"
    assert shares(served) == BEFORE
    again = roll_back(served)
    assert (again.code, again.out) == (0, "moody: rolled back to 1 100 %, 2 0 %: asked for by roll_back.py\n")
    callers.stop()
    assert (callers.of("1"), callers.of("2"), callers.failed) == ({200}, {200}, [])


def test_a_failing_version_is_rolled_back(served: Serving, callers: Callers) -> None:
    """By itself, in a sentence, and who was never given it never felt it."""
    done = roll_out(served, "failing", *QUICK)
    assert done.code == 1
    assert done.out.startswith("moody: rolled back to 1 100 %, failing 0 %: failing fails more often than 1: "), (
        done.err + done.out
    )
    assert shares(served) == BEFORE
    assert happened(served)[-2:] == ["worse", "rolled back"]
    callers.stop()
    assert (callers.of("1"), callers.failed) == ({200}, [])


def test_a_rollout_killed_at_every_step_is_picked_up(served: Serving, callers: Callers) -> None:
    """By the next run, which says where it goes on; no request is lost."""
    for percent in (20.0, 60.0, 100.0):
        with rolling(served, "2", *QUICK) as process:
            wait_for_step(served, percent)
            process.send_signal(signal.SIGKILL)
        assert left(served).status == "running"
    done = roll_out(served, "2", *QUICK)
    assert (done.code, shares(served)) == (0, {"2": 100.0}), done.err
    assert "moody: picked up: the rollout of 2 that began " in done.err
    assert "running at 100 %" in done.err
    assert read_live(state(served))["moody"].by == "rollout of 2"
    callers.stop()
    assert (callers.of("1"), callers.of("2"), callers.failed) == ({200}, {200}, [])


def test_a_roll_back_that_was_killed_is_finished_by_the_next_run(served: Serving, callers: Callers) -> None:
    """Whatever was asked for: what was found bad is not given callers."""
    with rolling(served, "2", *QUICK) as process:
        wait_for_step(served, 20.0)
        process.send_signal(signal.SIGKILL)
    record = Record(state(served), "moody")
    record.write(left(served).model_copy(update={"status": "rolling back", "reason": "2 fails"}))  # as a kill leaves it
    done = roll_out(served, "2", *QUICK)
    assert (done.code, done.out) == (1, "moody: rolled back to 1 100 %, 2 0 %: 2 fails\n")
    assert "rolling back at 20 %" in done.err
    assert callers.failed == []


def test_a_person_can_roll_back_a_rollout_that_runs(served: Serving, callers: Callers) -> None:
    """It ends, and says so; until then nobody begins another, and apply leaves its split alone."""
    with rolling(served, "2", *QUICK, "--bake", "50s") as process:
        wait_for_step(served, 20.0)
        second = roll_out(served, "2", *QUICK)
        assert second.error.startswith("moody: rollout of 2, running at 20 %: another process carries it on: ")
        as_file = run_script("apply_deployment", *places(served), "--as-file", environment=served.environment)
        assert "until then its split is not changed" in as_file.error
        assert roll_back(served).code == 0
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "moody: ended by somebody else" in said
    assert "asked for by roll_back.py" in said
    assert callers.failed == []


def test_a_rollout_is_paused_and_resumed(served: Serving, callers: Callers) -> None:
    """By Ctrl-C or from elsewhere; it stays at its step until it is told to go on, and a plain run does not go on unasked."""
    with rolling(served, "2", *QUICK, "--bake", "50s") as process:
        wait_for_step(served, 20.0)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "moody: stays at 1 80 %, 2 20 %: paused by Ctrl-C\n  go on:   scripts/roll_out.py moody --resume" in said
    assert roll_out(served, "2", *QUICK).error.startswith(
        "moody: rollout of 2, paused at 20 %: paused by Ctrl-C: --resume goes on"
    )
    with rolling(served, "--resume") as process:
        assert eventually(lambda: left(served).status == "running")
        assert roll_out(served, "--pause").code == 0
        said, _ = process.communicate(timeout=60)
    assert "paused by roll_out.py --pause" in said
    assert callers.failed == []
    assert shares(served) == {"1": 80.0, "2": 20.0}


def test_nothing_is_promoted_on_nothing(served: Serving) -> None:
    """Where nobody asks, it says so, and stays."""
    done = roll_out(served, "2", "--steps", "20,100", "--bake", "1s", "--max-bake", "2s", "--yes")
    assert done.code == 1
    assert "moody: waiting: 2 had 0 requests at 20 %, required 100" in done.err
    assert done.out.startswith("moody: stays at 1 80 %, 2 20 %: 2 had 0 requests at 20 %, required 100")
    assert shares(served) == {"1": 80.0, "2": 20.0}


def test_a_dry_run_changes_nothing(served: Serving) -> None:
    """It checks, replays, and shows the steps."""
    done = roll_out(served, "2", "--dry-run", "--steps", "25,100")
    assert (done.code, done.out) == (0, "nothing was changed\n")
    assert "25 %: 1 75 %, 2 25 %; 600 s, 100 requests at least" in done.err
    assert "1 recorded request: 100.0 % alike" in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["9", "--yes"], 2, "the deployment has no version 9 of moody; it has: 1, 2, "),
        ([], 2, "which version? scripts/roll_out.py moody VERSION"),
        (["2"], 2, "nobody is there to agree: give --yes, or look first with --dry-run"),
        (["1", "--yes"], 1, "moody: 1 has 100 % already"),
        (["2", "--resume"], 2, "moody: no rollout is open; begin one: scripts/roll_out.py moody VERSION"),
        (["--pause"], 1, "moody: no rollout is open"),
        (["2", "--replay", "nowhere", "--yes"], 2, "--replay: nowhere is neither a file nor a folder"),
        (["2", "--max-bake", "1s", "--yes"], 2, "--max-bake must be at least --bake; found 1 s and 600 s"),
        (["2", "--gateway", "http://127.0.0.1:1", "--yes"], 1, "no gateway answers at http://127.0.0.1:1"),
    ],
)
def test_a_mistake_is_one_line(served: Serving, arguments: list[str], code: int, message: str) -> None:
    """What was required, what was found; nothing has changed."""
    done = roll_out(served, *arguments)
    assert message in done.error
    assert done.code == code


def test_copies_are_compared_only_where_traffic_is_recorded(served: Serving, tmp_path: Path) -> None:
    """Else nothing would be said of them, and the person thinks that they agree."""
    shutil.copytree(state(served).gateway, tmp_path / "gateway", ignore=shutil.ignore_patterns("*.sock"))
    internal = f"http://127.0.0.1:{served.ports.gateway_internal_port}"
    asked = ("2", "--shadow", "20", "--yes", *places(served), "--state", tmp_path, "--gateway", internal)
    done = run_script("roll_out", "moody", *asked, environment=served.environment)
    assert done.code == 2
    assert done.error == "--shadow: answers are compared in the traffic record, and nothing is recorded: start the recorder"


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--steps", "5,1", "required percent that rise, above 0 to 100, in steps of 0.01, as 1,5,25,50,100; found '5,1'"),
        ("--bake", "10", "required a duration as 30s, 10m, 1.5h or 90d; found '10'"),
        ("--min-requests", "0", "required a number of 1 or more, found '0'"),
        ("--p99-ratio", "0.5", "required a number from 1 to 100, found '0.5'"),
        ("--shadow", "0", "required a number from 0.01 to 100, found '0'"),
    ],
)
def test_a_wrong_option_says_what_is_required(option: str, value: str, message: str) -> None:
    """Before anything is asked of a server."""
    done = run_script("roll_out", "moody", "2", option, value)
    assert (done.code, message in done.err) == (2, True)
