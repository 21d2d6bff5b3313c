"""The traffic record: what is written is there once, what is read is what was asked for, in SQLite and in PostgreSQL."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from databases import PostgreSQL

from marina.comparing import database
from marina.comparing.database import database_url, shown
from marina.comparing.traffic import Traffic
from marina.comparing.traffic_rows import Outcome, Request
from marina.errors import MarinaError, UsageError
from marina.paths import State

DAY = 86_400.0


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def traffic(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Traffic]:
    """An empty record in each of the databases."""
    if request.param == "PostgreSQL":
        monkeypatch.setenv("TRAFFIC_DATABASE", request.getfixturevalue("postgres").new_database())
    with Traffic(State(tmp_path), create=True) as traffic:
        yield traffic


def asked(number: int, **changes: object) -> Request:
    """A request of the digits experiment, a second after the one before."""
    row: dict[str, object] = {
        "request_id": f"r{number}",
        "time": 1000.0 + number,
        "model": "digits",
        "route": "predictions",
        "experiment": "digits",
        "key": f"k{number % 3}",
        "assigned": "1.0",
        "answered": "1.0",
        "status": 200,
        "first_status": 200,
        "seconds": 0.01,
        "attempts": 1,
    }
    return Request(**(row | changes))  # type: ignore[arg-type]


def test_a_request_is_recorded_once(traffic: Traffic) -> None:
    """What is read again from a log does not count twice, and how far it was read is remembered with it."""
    assert traffic.add_requests([asked(0), asked(1)], "log", 200) == 2
    assert traffic.add_requests([asked(1), asked(2)], "log", 300) == 1
    assert traffic.counts()["requests"] == 3
    assert traffic.bytes_read("log") == 300
    assert traffic.bytes_read("another") == 0
    traffic.forget_progress("log")
    assert traffic.bytes_read("log") == 0


def test_errors_are_those_of_the_assigned_arm(traffic: Traffic) -> None:
    """A request that the other arm rescued is an error of the arm that failed, and its latency is nobody's."""
    rescued = asked(1, assigned="2.0", answered="1.0", first_status=503, attempts=2, seconds=9.0)
    traffic.add_requests([asked(0), rescued, asked(2, status=429, first_status=None), asked(3, assigned=None)])
    errors = traffic.observations("digits", "digits", "error")
    assert list(errors.value) == [0, 1, 0]
    assert list(errors.assigned) == ["1.0", "2.0", "1.0"]
    assert list(traffic.observations("digits", "digits", "latency_seconds").value) == [0.01]


def test_rows_of_one_key_are_one_unit(traffic: Traffic) -> None:
    """A key has one number in all rows; a request without a key is a unit of its own."""
    traffic.add_requests([*map(asked, range(4)), asked(4, key=None), asked(5, key=None)])
    seen = traffic.observations("digits", "digits", "error")
    assert list(seen.key) == [0, 1, 2, 0, 3, 4]
    assert list(seen.time) == [1000, 1001, 1002, 1003, 1004, 1005]


def test_only_what_was_asked_for_is_observed(traffic: Traffic) -> None:
    """Another model, another experiment and another time are left out."""
    traffic.add_requests([asked(0), asked(1, model="wine"), asked(2, experiment="b"), asked(3, experiment=None), asked(4)])
    assert list(traffic.observations("digits", "digits", "error").time) == [1000, 1004]
    assert list(traffic.observations("digits", "digits", "error", since=1001).time) == [1004]
    assert list(traffic.observations("digits", "digits", "error", until=1004).time) == [1000]
    empty = traffic.observations("digits", "digits", "correct")
    assert len(empty) == 0
    assert empty.value.dtype == float
    assert traffic.experiments("digits") == ["digits", "b"]
    assert traffic.models() == ["digits", "wine"]


def test_an_outcome_joins_its_request_before_or_after_it(traffic: Traffic) -> None:
    """Which of the two is recorded first does not matter; one of an unknown request waits."""
    rows = [Outcome(f"o{number}", "correct", float(number), 2000.0 - number, f"r{number}") for number in (0, 1, 7)]
    traffic.add_outcomes(rows)
    traffic.add_requests([asked(0), asked(1, assigned="2.0")])
    correct = traffic.observations("digits", "digits", "correct")
    assert list(correct.value) == [1, 0]
    assert list(correct.assigned) == ["2.0", "1.0"]
    assert list(correct.time) == [1001, 1000]
    assert list(correct.known) == [1999, 2000]
    assert traffic.metrics("digits", "digits") == ["error", "latency_seconds", "correct"]
    assert traffic.metrics("wine", "digits") == ["error", "latency_seconds"]


def test_an_outcome_of_a_key_belongs_to_its_last_request_before(traffic: Traffic) -> None:
    """So that a key that a change of the split has moved counts for the arm that it had; without a request it counts for none."""
    moved = asked(3, assigned="2.0")
    traffic.add_requests([asked(0), moved, asked(1), asked(6, model="wine")])
    times = {"before": 999.0, "first": 1002.0, "second": 1003.5, "last": 1900.0}
    traffic.add_outcomes([Outcome(name, "clicked", 1.0, at, None, "digits", "k0") for name, at in times.items()])
    clicked = traffic.observations("digits", "digits", "clicked")
    assert list(clicked.known) == [1002, 1003.5, 1900]
    assert list(clicked.assigned) == ["1.0", "2.0", "2.0"]
    assert traffic.metrics("digits", "digits")[-1] == "clicked"


def test_of_repeated_outcomes_the_latest_counts(traffic: Traffic) -> None:
    """A correction replaces, a repeat changes nothing, and one that was overtaken on its way does not come back."""
    traffic.add_requests([asked(0)])
    first, corrected = Outcome("o", "correct", 0.0, 2000.0, "r0"), Outcome("o", "correct", 1.0, 2001.0, "r0")
    assert traffic.add_outcomes([first]) == 1
    assert traffic.add_outcomes([corrected, first]) == 1
    assert traffic.add_outcomes([first]) == 0
    assert traffic.add_outcomes([corrected]) == 1
    assert list(traffic.observations("digits", "digits", "correct").value) == [1.0]


def test_outcomes_are_written_all_or_none(traffic: Traffic) -> None:
    """Whatever ends a batch half-way leaves nothing of it."""

    def torn() -> Iterator[Outcome]:
        for number in range(database_rows := 25_000):
            yield Outcome(str(number), "correct", 1.0, 2000.0, f"r{number}")
        raise KeyboardInterrupt(database_rows)

    with pytest.raises(KeyboardInterrupt):
        traffic.add_outcomes(torn())
    assert traffic.counts()["outcomes"] == 0


def test_events_and_changes_of_the_split_are_kept_in_order(traffic: Traffic) -> None:
    """A split that is as it was is no change."""
    traffic.add_event("digits", "rollout", "2.0 gets 5 %", 1010.0)
    traffic.add_event("digits", "rollback", "2.0 answers wrongly", 1020.0)
    traffic.add_event("wine", "rollout", "another model")
    assert [(one.kind, one.time) for one in traffic.events("digits")] == [("rollout", 1010), ("rollback", 1020)]
    weights = [{"1.0": 95.0, "2.0": 5.0}, {"1.0": 95.0, "2.0": 5.0}, {"1.0": 100.0, "2.0": 0.0}]
    assert [traffic.add_split("digits", "digits", one, 1000.0 + at) for at, one in enumerate(weights)] == [True, False, True]
    assert [(one.time, one.weights["2.0"]) for one in traffic.splits("digits", "digits")] == [(1000, 5), (1002, 0)]
    assert traffic.splits("digits", "other") == []


def test_many_may_write_at_once(traffic: Traffic, tmp_path: Path) -> None:
    """Nothing is lost, and nobody is refused."""

    def write(writer: int) -> None:
        with Traffic(State(tmp_path)) as own:
            for number in range(20):
                own.add_requests([asked(writer * 100 + number)])

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert traffic.counts()["requests"] == 80


def test_another_salt_is_refused(traffic: Traffic) -> None:
    """With it nobody would be known again."""
    traffic.require_salt("a")
    traffic.require_salt("a")
    with pytest.raises(MarinaError, match=r"hashed with another salt: bring back the state's traffic/salt"):
        traffic.require_salt("b")


def test_nobody_else_may_read_the_file(tmp_path: Path) -> None:
    """The folder and the database are their owner's."""
    state = State(tmp_path / "state")
    with Traffic(state, create=True) as traffic:
        traffic.add_requests([asked(0)])
        modes = {stat.S_IMODE(path.stat().st_mode) for path in [*state.traffic.iterdir()]}
    assert modes == {0o600}
    assert stat.S_IMODE(state.traffic.stat().st_mode) == 0o700


def test_a_record_that_was_never_begun_says_so(tmp_path: Path) -> None:
    """And is not made by who only wants to read."""
    with pytest.raises(MarinaError, match=r"traffic.db: no traffic has been recorded yet: `make serve` starts the recorder"):
        Traffic(State(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """It is left as it is."""
    path = tmp_path / "notes.db"
    path.write_text("Dear diary, " * 100)
    with pytest.raises(MarinaError, match=r"notes.db: is not a SQLite database: move it away, or name another with --database"):
        Traffic(database=str(path), create=True)
    assert path.read_text().startswith("Dear diary")


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    """No table is put into it."""
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE orders (number)")
    connection.close()
    with pytest.raises(MarinaError, match=r"shop.db: is another program's database: name another with --database"):
        Traffic(database=str(path), create=True)


def test_a_newer_schema_is_refused(traffic: Traffic, tmp_path: Path) -> None:
    """What a newer Marina wrote is not misread."""
    with traffic.writing() as connection:
        connection.exec_driver_sql("UPDATE about SET value = '99' WHERE name = 'marina traffic'")
    with pytest.raises(MarinaError, match=r"is a newer Marina's \(schema 99; this one knows 1\): update Marina"):
        Traffic(State(tmp_path))


def test_a_locked_database_is_waited_for_and_then_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one line says what another process does."""
    monkeypatch.setattr(database, "WAIT_SECONDS", 0.1)
    with Traffic(State(tmp_path), create=True) as traffic:
        other = sqlite3.connect(State(tmp_path).traffic / "traffic.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(MarinaError, match=r"traffic.db: another process has been writing to it for 30 s"):
            traffic.add_requests([asked(0)])
        other.close()
        assert traffic.add_requests([asked(0)]) == 1


def test_a_damaged_database_is_told(tmp_path: Path) -> None:
    """By its name, in one line."""
    path = State(tmp_path).traffic / "traffic.db"
    with Traffic(State(tmp_path), create=True) as traffic:
        traffic.add_requests(list(map(asked, range(2000))))
    content = bytearray(path.read_bytes())
    content[4096 * 2 :] = os.urandom(len(content) - 4096 * 2)
    path.write_bytes(content)
    with (
        pytest.raises(MarinaError, match=r"traffic.db: is damaged: move it away, or bring back a copy"),
        Traffic(State(tmp_path)) as traffic,
    ):
        traffic.observations("digits", "digits", "error")


def test_a_full_disk_is_told_and_leaves_the_record_whole(tmp_path: Path) -> None:
    """A write that the disk refuses is refused whole; what was there can be read."""
    with Traffic(State(tmp_path), create=True) as traffic:
        traffic.add_requests([asked(0)])
    done = subprocess.run([sys.executable, "-c", FILL, str(tmp_path)], capture_output=True, text=True, check=False)
    assert "the disk" in done.stdout, done.stderr
    with Traffic(State(tmp_path)) as traffic:
        assert traffic.counts()["requests"] == 1


FILL = """
import resource, sys
from pathlib import Path
from marina.comparing.traffic import Traffic
from marina.comparing.traffic_rows import Request
from marina.errors import MarinaError
from marina.paths import State
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
with Traffic(State(Path(sys.argv[1]))) as traffic:
    try:
        traffic.add_requests([Request(f"more{n}", 1.0, "digits", "predictions", 200) for n in range(20_000)])
    except MarinaError as error:
        print(error)
"""


def test_a_record_that_may_not_be_written_can_be_read(tmp_path: Path) -> None:
    """Who has only the right to read can judge and report; writing is refused in one line."""
    with Traffic(State(tmp_path), create=True) as traffic:
        traffic.add_requests([asked(0)])
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)
    with Traffic(State(tmp_path)):
        for path in [tmp_path, *tmp_path.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        done = subprocess.run([sys.executable, "-c", READ_ONLY, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("1\n"), done.stderr
    assert "may not be written: give this user the right" in done.stdout


READ_ONLY = """
import os, sys
from pathlib import Path
from marina.comparing.traffic import Traffic
from marina.errors import MarinaError
from marina.paths import State
state = State(Path(sys.argv[1]))
Traffic(state).close()  # what is imported on the way may lie where only root reads
if os.geteuid() == 0:
    os.setuid(65534)
with Traffic(state) as traffic:
    print(traffic.counts()["requests"])
    try:
        traffic.add_event("digits", "rollout", "2.0")
    except MarinaError as error:
        print(error)
"""


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("mysql://host/name", "required postgresql://user@host/name, or a file; found mysql://"),
        ("://host", "TRAFFIC_DATABASE is no address of a database"),
        (
            "postgresql://me:secret@host/name",
            "a password in a command is seen by everybody on this machine: set TRAFFIC_DATABASE",
        ),
    ],
)
def test_an_address_that_is_none_is_refused(given: str, message: str) -> None:
    """Also one whose password would be seen in the list of processes; it is not repeated."""
    with pytest.raises(UsageError, match=message) as refused:
        database_url(State(), given)
    assert "secret" not in str(refused.value)


def test_a_password_is_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address that messages have does without it."""
    monkeypatch.setenv("TRAFFIC_DATABASE", "postgresql://me:secret@host:5433/name")
    assert shown(database_url(State())) == "postgresql://me:***@host:5433/name"


def test_a_postgresql_that_refuses_is_told_in_one_line(postgres: PostgreSQL, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong password and a server that is not there, by the server's own words and without the password."""
    monkeypatch.setenv("TRAFFIC_DATABASE", postgres.url("postgres", "wrong-secret"))
    with pytest.raises(MarinaError, match="password authentication failed") as refused:
        Traffic()
    assert "wrong-secret" not in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    monkeypatch.setenv("TRAFFIC_DATABASE", "postgresql://me@127.0.0.1:1/name")
    with pytest.raises(MarinaError, match=r"postgresql://me@127.0.0.1:1/name: .*refused"):
        Traffic()


def test_a_postgresql_without_tables_is_told_to_who_reads(postgres: PostgreSQL, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one with another program's tables is left alone."""
    url = postgres.new_database()
    monkeypatch.setenv("TRAFFIC_DATABASE", url)
    with pytest.raises(MarinaError, match="no traffic has been recorded yet"):
        Traffic()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE orders (number int)")
    with pytest.raises(MarinaError, match="is another program's database"):
        Traffic(create=True)
