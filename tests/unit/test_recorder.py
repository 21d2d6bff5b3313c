"""The recorder: a process that reads the gateway's access log, loses nothing, doubles nothing, and leaves no key behind."""

from __future__ import annotations

import datetime
import json
import os
import random
import shutil
import threading
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import requests
from databases import PostgreSQL
from envoys import Envoy, envoy
from recorders import recording
from scripts_of_ours import call_script, run_script
from small_disks import filled, small_disk

from marina.comparing.agreeing import distance
from marina.comparing.hashed_keys import HashedKeys, read_salt
from marina.comparing.keeping import expire
from marina.comparing.log_reading import PIECE_BYTES
from marina.comparing.recorder import Keeping, Recorder
from marina.comparing.rotation import Rotation
from marina.comparing.traffic import Traffic
from marina.comparing.traffic_rows import Outcome, Request
from marina.errors import MarinaError
from marina.paths import State
from marina.serving.polling import pause, wait_for

KEYS = HashedKeys(b"0" * 32)
NOBODY = "http://127.0.0.1:1"  # no gateway listens there
EARLIER = datetime.datetime.now(datetime.UTC).replace(microsecond=0) - datetime.timedelta(hours=1)
KILLS = 40 if os.environ.get("SLOW") else 5


@pytest.fixture
def state(tmp_path: Path) -> State:
    state = State(tmp_path / "state")
    state.traffic.mkdir(parents=True)
    return state


@pytest.fixture
def traffic(state: State) -> Iterator[Traffic]:
    with Traffic(state, create=True) as traffic:
        yield traffic


def line(number: int, **changes: object) -> str:
    """A line as the gateway writes it."""
    written: dict[str, object] = {
        "time": f"{EARLIER + datetime.timedelta(seconds=number % 60):%Y-%m-%dT%H:%M:%S}.123Z",
        "request_id": f"r{number}",
        "model": "digits",
        "route": "predictions",
        "experiment": "digits",
        "key": f"user{number % 10}@example.org",
        "key_from": "header",
        "assigned": "1.0",
        "answered": "1.0",
        "status": 200,
        "first_status": 200,
        "attempts": 1,
        "seconds": 0.012,
        "upstream_seconds": 0.011,
        "request_bytes": 300,
        "response_bytes": 90,
        "flags": "-",
        "sampled_shadow": None,
    }
    return json.dumps(written | changes) + "\n"


def recorder(state: State, traffic: Traffic, keeping: Keeping | None = None) -> Recorder:
    return Recorder(state, traffic, KEYS, keeping or Keeping(), NOBODY)


def append(state: State, *lines: str) -> None:
    with (state.traffic / "access.log").open("a") as log:
        log.write("".join(lines))


def everything_in(state: State) -> bytes:
    return b"".join(path.read_bytes() for path in state.folder.rglob("*") if path.is_file())


def left_of_logs(state: State) -> bytes:
    return b"".join(path.read_bytes() for path in state.traffic.glob("access*"))


def test_a_line_of_the_gateway_becomes_a_row(state: State, traffic: Traffic) -> None:
    """With the key hashed, and without what nobody asks for."""
    append(state, line(0, seconds=0.5, first_status=503, answered="2.0", attempts=2))
    recorder(state, traffic).look()
    seen = traffic.observations("digits", "digits", "error")
    assert list(seen.value) == [1]
    assert list(seen.time) == [EARLIER.timestamp() + 0.123]
    with traffic.reading() as connection:
        row = connection.exec_driver_sql("SELECT key, answered, attempts, seconds FROM requests").one()
    assert tuple(row) == (KEYS.of("user0@example.org"), "2.0", 2, 0.5)
    assert b"user0" not in (state.traffic / "traffic.db").read_bytes()


def test_a_line_that_is_being_written_waits_for_its_end(state: State, traffic: Traffic) -> None:
    """Half a line is no request, and the other half does not become another."""
    one, other = line(0), line(1)
    append(state, one, other[:50])
    own = recorder(state, traffic, Keeping(rotate_seconds=1e9))
    Path(state.traffic / "access.log.read").touch()  # so that the log is not put aside in the midst of it
    own._rotation._last = float("inf")
    own.look()
    assert traffic.counts()["requests"] == 1
    append(state, other[50:])
    own.look()
    assert traffic.counts()["requests"] == 2
    assert "marina_recorder_bad_lines_total 0.0" in own.metrics.text().decode()


@pytest.mark.parametrize(
    "torn",
    ["{", '{"', line(7)[:60], line(7)[:-2], "no JSON\n", "[1]\n", "\n", '"a"\n', line(7, status="many"), line(7, model="")],
)
def test_a_line_that_cannot_be_read_costs_no_other(state: State, traffic: Traffic, torn: str) -> None:
    """A gateway that was killed in the midst of a line goes on on the same one: only the torn request is lost."""
    append(state, line(0), torn, line(1, key='{"a": "{"}'), line(2))
    own = recorder(state, traffic)
    own.look()
    assert traffic.counts()["requests"] == 3


def test_bad_lines_are_counted(state: State, traffic: Traffic) -> None:
    """So that an alert can tell of them."""
    append(state, "no JSON\n", line(0), "{}\n")
    own = recorder(state, traffic)
    own.look()
    assert "marina_recorder_bad_lines_total 2.0" in own.metrics.text().decode()
    assert "marina_recorder_requests_total 1.0" in own.metrics.text().decode()


def test_a_line_without_end_does_not_fill_the_memory(state: State, traffic: Traffic) -> None:
    """What is longer than a piece is passed over, and what comes after it is read."""
    append(state, "x" * (3 * PIECE_BYTES), "\n", line(0))
    recorder(state, traffic).look()
    assert traffic.counts()["requests"] == 1


def test_the_log_is_deleted_when_it_was_read(state: State, traffic: Traffic) -> None:
    """Where no gateway runs, at once; no key is left as it came."""
    append(state, *map(line, range(100)))
    recorder(state, traffic).look()
    assert traffic.counts()["requests"] == 100
    assert left_of_logs(state) == b""
    assert b"example.org" not in everything_in(state)


def test_a_log_that_is_still_written_to_is_not_deleted(state: State, traffic: Traffic) -> None:
    """A gateway that cannot be asked to open its log anew goes on with the old one under its new name: that is read on."""
    with (state.traffic / "access.log").open("a") as log:
        log.write(line(0))
        log.flush()
        own = recorder(state, traffic)
        own.look()
        log.write(line(1))
        log.flush()
        own.look()
        assert traffic.counts()["requests"] == 2
        assert (state.traffic / "access.log.read").exists()
    own.look()
    assert not (state.traffic / "access.log.read").exists()


def test_a_gateway_opens_its_log_anew_when_asked(state: State, traffic: Traffic, tmp_path: Path) -> None:
    """A real Envoy: the log that was put aside is read to its end, and then gone."""
    log = state.traffic / "access.log"
    with envoy(log, tmp_path) as running:
        own = Recorder(state, traffic, KEYS, Keeping(rotate_seconds=0), running.admin)
        for number in range(30):
            ask(running, f"r{number}")
            own.look()

        def is_done() -> bool:
            own.look()
            return traffic.counts()["requests"] == 30 and b"me@example.org" not in everything_in(state)

        assert wait_for(is_done, 20, 0.01)
        assert log.exists()
        assert "marina_recorder_rotations_total 0.0" not in own.metrics.text().decode()


def test_a_full_disk_costs_no_line(tmp_path: Path) -> None:
    """A real Envoy writes on into room that is held for its log, which is not rotated meanwhile, and is afterwards."""
    (tmp_path / "disk").mkdir()
    with small_disk(tmp_path / "disk", "48m") as disk, Traffic(State(disk), create=True) as traffic:
        own = Recorder(State(disk), traffic, KEYS, Keeping(rotate_seconds=0), NOBODY)
        own.look()
        with envoy(State(disk).traffic / "access.log", tmp_path) as running:
            with filled(disk):
                for number in range(100):
                    ask(running, f"r{number}")
                assert wait_for(lambda: left_of_logs(State(disk)).count(b"\n") == 100, 10)
                with suppress(MarinaError):  # SQLite's file may have room left
                    own.look()
                assert not (State(disk).traffic / "access.log.read").exists()
            own.look()
        own.look()
        assert traffic.counts()["requests"] == 100
        assert left_of_logs(State(disk)) == b""


def test_a_recorder_killed_while_it_puts_the_log_aside_loses_and_doubles_nothing(state: State, traffic: Traffic) -> None:
    """The log has both names then; the next recorder goes on from there."""
    append(state, line(0), line(1))
    (state.traffic / "access.log.read").hardlink_to(state.traffic / "access.log")
    append(state, line(2))
    own = recorder(state, traffic)
    own.look()
    append(state, line(3))
    own.look()
    assert traffic.counts()["requests"] == 4
    assert "marina_recorder_repeated_requests_total 0.0" in own.metrics.text().decode()
    assert not (state.traffic / "access.log.read").exists()


def ask(running: Envoy, request_id: str) -> None:
    headers = {"X-Request-Id": request_id, "X-User-Id": "me@example.org"}
    assert requests.get(f"{running.url}/predictions/digits", headers=headers, timeout=30).ok


def test_a_recorder_that_is_killed_again_and_again_loses_and_doubles_nothing(state: State, tmp_path: Path) -> None:
    """Killed at any moment while a real Envoy writes and the log is rotated: each request is there once, no key is left."""
    sent: list[str] = []
    ended = threading.Event()

    def load() -> None:
        with requests.Session() as session:
            while not ended.is_set():
                request_id = str(uuid.uuid4())
                headers = {"X-Request-Id": request_id, "X-User-Id": f"user{len(sent) % 50}@example.org"}
                session.get(running.url, headers=headers, timeout=30)
                sent.append(request_id)

    arguments = ("--rotate", "0.3s")
    with envoy(state.traffic / "access.log", tmp_path) as running:
        threads = [threading.Thread(target=load) for _ in range(2)]
        for thread in threads:
            thread.start()
        for _ in range(KILLS):
            with recording(state, *arguments, gateway=running.admin) as started:
                pause(random.uniform(0.3, 1.5))  # noqa: S311 - any moment
                started.kill()
        ended.set()
        for thread in threads:
            thread.join()
        with recording(state, *arguments, gateway=running.admin) as started, Traffic(state) as traffic:
            wait_for(lambda: traffic.counts()["requests"] == len(sent), 60)
            assert started.metric("bad_lines_total") == 0
            assert started.metric("repeated_requests_total") == 0
            with traffic.reading() as connection:
                found = [row[0] for row in connection.exec_driver_sql("SELECT request_id FROM requests")]
            assert sorted(found) == sorted(sent)
    with recording(state, *arguments) as started:
        assert started.stop() == 0
    assert b"@example.org" not in everything_in(state)
    with Traffic(state) as traffic:
        assert traffic.counts()["requests"] == len(sent) > 1000


def test_several_gateways_record_into_one_postgresql(
    postgres: PostgreSQL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with a recorder of its own; a caller of both is one key, and the password is told nobody."""
    monkeypatch.setenv("TRAFFIC_DATABASE", postgres.new_database())
    states = [State(tmp_path / name / "state") for name in ("a", "b")]
    for number, state in enumerate(states):
        state.traffic.mkdir(parents=True)
        append(state, *map(line, range(100 * number, 100 * number + 100)))
    read_salt(states[0], create=True)
    shutil.copy(states[0].traffic / "salt", states[1].traffic / "salt")
    with recording(states[0]) as one, recording(states[1]) as other, Traffic(states[0]) as traffic:
        assert wait_for(lambda: traffic.counts()["requests"] == 200, 30)
        outcome = {"key": "user3@example.org", "experiment": "digits", "metric": "clicked", "value": True}
        assert other.post(json.dumps(outcome)).ok
        assert len(traffic.observations("digits", "digits", "clicked")) == 1
        assert len(set(traffic.observations("digits", "digits", "error").key)) == 10
        for started in (one, other):
            assert postgres.password not in started.output.read_text()
            assert postgres.password not in " ".join(psutil.Process(started.process.pid).cmdline())
    assert [left_of_logs(state) for state in states] == [b"", b""]
    stranger = State(tmp_path / "c" / "state")
    done = run_script("record_traffic", "--state", stranger.folder)
    assert (done.code, "hashed with another salt" in done.error) == (1, True)


def test_a_recorder_that_cannot_write_reads_it_later(state: State, traffic: Traffic) -> None:
    """Nothing is passed over that was not written."""
    append(state, line(0))
    own = recorder(state, traffic)
    with traffic.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE requests RENAME TO away")
    with pytest.raises(MarinaError, match="no such table"):
        own.look()
    with traffic.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO requests")
    own.look()
    assert traffic.counts()["requests"] == 1


def test_a_sample_has_all_of_a_key_or_nothing(state: State, traffic: Traffic) -> None:
    """Since a key, not a request, is what an experiment counts."""
    append(state, *(line(number, key=f"user{number % 400}") for number in range(2000)))
    recorder(state, traffic, Keeping(sample=0.25)).look()
    with traffic.reading() as connection:
        counts = [row[0] for row in connection.exec_driver_sql("SELECT count(*) FROM requests GROUP BY key")]
    assert set(counts) == {5}
    assert 60 <= len(counts) <= 140


def test_what_is_too_old_is_deleted(traffic: Traffic) -> None:
    """Requests, outcomes and comparisons; events stay."""
    rows = [Request(f"r{at}", float(at), "digits", "predictions", 200) for at in range(12_000)]
    traffic.add_requests(rows)
    traffic.add_outcomes([Outcome("old", "correct", 1.0, 1.0, "r1"), Outcome("new", "correct", 1.0, 11_999.0, "r11999")])
    traffic.add_event("digits", "rollout", "begun", 1.0)
    assert expire(traffic, 1000.0, 12_000.0) == 11_001
    counts = traffic.counts()
    assert (counts["requests"], counts["outcomes"], counts["events"]) == (1000, 1, 1)


def test_answers_of_two_versions_are_compared(state: State, traffic: Traffic) -> None:
    """The caller's arm by the gateway's word, the other by the shadow's; in whichever order they come."""
    folder = state.traffic / "summaries"
    folder.mkdir()
    shares = {"1.0": {"7": 0.9, "3": 0.1}, "2.0": {"7": 0.6, "3": 0.4}}
    for version in ("2.0", "1.0"):
        with (folder / f"{version}.jsonl").open("w") as log:
            for number in range(3):
                summary = {"request_id": f"r{number}", "model": "digits", "version": version, "kind": "predict", "label": "7"}
                log.write(json.dumps(summary | {"probabilities": shares[version], "seconds": float(version)}) + "\n")
    own = recorder(state, traffic)
    own.look()
    assert traffic.agreements("digits") == []
    append(state, line(0, sampled_shadow="2.0"), line(1), line(2, sampled_shadow="2.0", answered=None))
    own.look()
    (found,) = traffic.agreements("digits")
    assert (found.live, found.shadow, found.same_label) == ("1.0", "2.0", True)
    assert (found.live_seconds, found.shadow_seconds) == (1.0, 2.0)
    assert found.distance == pytest.approx(0.3)
    assert "marina_recorder_agreements_total 1.0" in own.metrics.text().decode()
    assert traffic.counts()["summaries"] == 4


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ({"a": 1.0}, {"a": 1.0}, 0.0),
        ({"a": 1.0}, {"b": 1.0}, 1.0),
        ({"a": 0.5, "b": 0.3}, {"a": 0.5, "b": 0.1}, 0.2),  # what is left out differs as well
        ([0.25, 0.75], [0.75, 0.25], 0.5),
        ([0.5, 0.5], [1.0], None),
        ({"a": 1.0}, None, None),
        ({"a": 1.0}, [1.0], None),
    ],
)
def test_the_distance_of_two_answers(one: object, other: object, apart: float | None) -> None:
    """Total variation: 0 the same, 1 nothing in common, none where they cannot be compared."""
    assert distance(one, other) == (None if apart is None else pytest.approx(apart))  # type: ignore[arg-type]


def test_the_salt_is_made_once_and_read_by_its_owner_alone(state: State) -> None:
    """A second start knows the keys of the first."""
    hashed = read_salt(state, create=True).of("me")
    assert read_salt(state).of("me") == hashed
    assert (state.traffic / "salt").stat().st_mode & 0o777 == 0o600
    (state.traffic / "salt").write_text("abc")
    with pytest.raises(MarinaError, match="salt: required 64 hexadecimal digits, found something else: bring back a copy"):
        read_salt(state)
    (state.traffic / "salt").unlink()
    with pytest.raises(MarinaError, match="salt: is not there: the recorder makes it when it first starts"):
        read_salt(state)


def test_a_state_has_one_recorder(state: State) -> None:
    """Two would delete the log below each other."""
    with recording(state):
        done = run_script("record_traffic", "--state", state.folder)
    assert done.code == 1
    assert "another recorder works on it: stop that, or name another folder with --state" in done.error


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["--address", "::"],
            2,
            "--address ::: whoever reaches the machine could send outcomes: --key-file is required",
        ),
        (["--key-file", "missing/key"], 2, "--key-file missing/key: cannot be read: No such file or directory"),
        (["--key-file", "/dev/null"], 2, "--key-file /dev/null: required one key of 16 characters or more, without spaces"),
        (["--keep", "long"], 2, "argument --keep: required a duration as 30s, 10m, 1.5h or 90d; found 'long'"),
        (["--keep", "0d"], 2, "argument --keep: required a duration"),
        (["--sample", "10%"], 2, "argument --sample: required a share above 0, at most 1; found '10%'"),
        (["--database", "mysql://host/x"], 2, "required postgresql://user@host/name, or a file; found mysql://"),
        (["--database", "/proc/none.db"], 1, "/proc/none.db: cannot be made:"),
    ],
)
def test_a_wrong_command_is_told_in_one_line(
    state: State, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    """What was required, what was found."""
    try:
        done = call_script(capsys, "record_traffic", "--state", state.folder, *arguments)
        found, said = done.code, done.err
    except SystemExit as ended:  # as argparse does
        found, said = int(str(ended.code)), capsys.readouterr().err
    assert found == code
    assert message in " ".join(said.split())


def test_a_port_that_is_taken_is_told_with_its_holder(state: State, tmp_path: Path) -> None:
    """And how to move."""
    with recording(state) as started:
        port = started.url.rpartition(":")[2]
        done = run_script("record_traffic", "--state", tmp_path / "other", "--port", port)
    assert done.code == 1
    assert f"127.0.0.1:{port}: Address already in use by python" in done.error
    assert "stop that, or move with RECORDER_PORT or --port" in done.error


def test_rotation_waits_for_its_time(tmp_path: Path) -> None:
    """A log is put aside when it is old enough, and an empty one never."""
    log = tmp_path / "access.log"
    rotation = Rotation(log, NOBODY, 60)
    assert not rotation.put_aside(0.0)
    log.touch()
    assert not rotation.put_aside(0.0)
    log.write_text(line(0))
    assert rotation.put_aside(1.0)
    assert not rotation.put_aside(100.0)
    rotation.aside.unlink()
    log.write_text(line(1))
    assert not rotation.put_aside(60.0)
    assert rotation.put_aside(61.0)
