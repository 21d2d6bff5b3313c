"""What callers of a real gateway did is in the record, with what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests
from scripts_of_ours import run_script
from servers import READY, Serving, serving

from marina.comparing.hashed_keys import read_salt
from marina.comparing.traffic import Traffic
from marina.paths import State, Store
from marina.serving.free_ports import free_ports
from marina.serving.polling import wait_for

KEYS = 80
DEPLOYMENT = """
models:
  digits:
    default: "1.0"
    versions: {"1.0": {}, "2.0": {}}
    split: {weights: {"1.0": 50, "2.0": 50}, experiment: trial}
    shadow: {version: "2.0", percent: 100}
"""


@pytest.fixture(scope="module")
def house(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """TorchServe, the gateway and the recorder, as make serve starts them."""
    folder = tmp_path_factory.mktemp("recording")
    (folder / "deployment.yaml").write_text(DEPLOYMENT)
    with serving(free_ports(), store, folder, "--deployment", folder / "deployment.yaml") as started:
        started.wait_for_output(READY)
        yield started


def state_of(house: Serving) -> State:
    return State(house.folder / "state")


def ask(house: Serving, key: str, seven: bytes) -> requests.Response:
    answer = requests.post(house.url("/predictions/digits", "gateway"), data=seven, headers={"X-User-Id": key}, timeout=60)
    assert answer.ok, answer.text
    return answer


def recorded(house: Serving, count: int) -> bool:
    """Whether so many requests come to be recorded."""
    with Traffic(state_of(house)) as traffic:
        return bool(wait_for(lambda: traffic.counts()["requests"] >= count, 60))


def recorder_of(house: Serving) -> psutil.Process:
    """The recorder's process."""
    commands = [(one, " ".join(one.cmdline())) for one in house.remember_family() if one.is_running()]
    return next(process for process, command in commands if "record_traffic" in command)


def test_requests_and_outcomes_meet_in_the_record(house: Serving, seven: bytes) -> None:
    """Each is there once, with its arm as the caller saw it; the split in force is known; no key is left as it came."""
    outcomes = []
    arms: dict[str, str] = {}
    for number in range(KEYS):
        answer = ask(house, f"user{number}@example.org", seven)
        arms[answer.headers["X-Request-Id"]] = answer.headers["X-Assigned-Version"]
        right = answer.json()[0]["label"] == "7"
        outcomes.append({"request_id": answer.headers["X-Request-Id"], "metric": "correct", "value": right})
    sent = requests.post(house.url("/outcomes", "recorder"), json=outcomes, timeout=60)
    assert sent.json() == {"accepted": KEYS}
    assert recorded(house, KEYS)
    with Traffic(state_of(house)) as traffic:
        correct = traffic.observations("digits", "trial", "correct")
        latency = traffic.observations("digits", "trial", "latency_seconds")
        (split,) = traffic.splits("digits", "trial")
        (event,) = traffic.events("digits")
    assert len(correct) == KEYS
    assert set(correct.value) == {1.0}
    assert sorted(correct.assigned) == sorted(arms.values())
    assert len(set(correct.key)) == KEYS
    assert 0 < latency.value.min() < latency.value.max() < 60
    assert split.weights == {"1.0": 50, "2.0": 50}
    assert event.text == "served: 1.0 50 %, 2.0 50 %"


def test_a_key_is_known_again_in_the_record(house: Serving, seven: bytes) -> None:
    """By its hash alone."""
    for _ in range(3):
        ask(house, "again@example.org", seven)
    hashed = read_salt(state_of(house)).of("again@example.org")
    with Traffic(state_of(house)) as traffic:

        def rows() -> list[str]:
            with traffic.reading() as connection:
                found = connection.exec_driver_sql(f"SELECT assigned FROM requests WHERE key = '{hashed}'")  # noqa: S608 - a hash
                return [row[0] for row in found]

        assert wait_for(lambda: len(rows()) == 3, 30)
        assert len(set(rows())) == 1


def test_answers_of_the_shadow_are_compared(house: Serving, seven: bytes) -> None:
    """Of requests that 1.0 answered and 2.0 got a copy of, both handlers' answers are in the record."""
    for number in range(10):
        ask(house, f"copied{number}", seven)
    with Traffic(state_of(house)) as traffic:
        assert wait_for(lambda: traffic.agreements("digits"), 60)
        found = traffic.agreements("digits")[0]
    assert (found.live, found.shadow, found.kind, found.same_label) == ("1.0", "2.0", "predict", True)
    assert found.distance is not None
    assert 0 < found.distance < 0.1
    assert found.live_seconds
    assert found.shadow_seconds


def test_a_recorder_that_dies_is_started_again_and_callers_notice_nothing(house: Serving, seven: bytes) -> None:
    """What was asked meanwhile is recorded."""
    with Traffic(state_of(house)) as traffic:
        before = traffic.counts()["requests"]
    recorder_of(house).kill()
    for number in range(20):
        ask(house, f"meanwhile{number}", seven)
    house.wait_for_output("the recorder was lost, and is started again")
    assert recorded(house, before + 20)
    assert wait_for(lambda: requests.get(house.url("/healthz", "recorder"), timeout=5).ok, 30)


def test_a_report_is_made_of_it(house: Serving, tmp_path: Path) -> None:
    """With so few requests too."""
    done = run_script(
        "report_ab", "digits", "--control", "1.0", "--state", state_of(house).folder, "--to", tmp_path / "report.html"
    )
    assert done.code == 0, done.err
    assert done.out.startswith("2.0 against 1.0: ")


def test_nothing_is_left_unread_and_no_key_when_all_stops(house: Serving, seven: bytes) -> None:
    """The recorder ends after the gateway, so that it has its last line too."""
    with Traffic(state_of(house)) as traffic:
        before = traffic.counts()["requests"]
    for number in range(10):
        ask(house, f"last{number}@example.org", seven)
    assert house.stop() == 0
    with Traffic(state_of(house)) as traffic:
        assert traffic.counts()["requests"] == before + 10
    left = b"".join(path.read_bytes() for path in state_of(house).folder.rglob("*") if path.is_file())
    assert b"@example.org" not in left
    assert house.left_running() == []
