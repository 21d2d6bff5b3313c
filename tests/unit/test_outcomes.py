"""Outcomes by HTTP: taken whole or refused whole, each wrong one by its line and its reason."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from recorders import Recording, recording

from marina.comparing.hashed_keys import read_salt
from marina.comparing.traffic import Traffic
from marina.comparing.traffic_rows import Request
from marina.paths import State
from marina.serving.polling import wait_for

LINES = "application/x-ndjson"
KEY = "0123456789abcdef"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    return State(tmp_path_factory.mktemp("outcomes") / "state")


@pytest.fixture(scope="module")
def recorder(state: State) -> Iterator[Recording]:
    with recording(state) as started:
        yield started


@pytest.fixture
def traffic(recorder: Recording, state: State) -> Iterator[Traffic]:
    """An empty record, into which a recorder writes."""
    assert recorder.is_up()
    with Traffic(state) as traffic:
        with traffic.writing() as connection:
            connection.exec_driver_sql("DELETE FROM outcomes")
        yield traffic


def found(traffic: Traffic) -> list[tuple[Any, ...]]:
    with traffic.reading() as connection:
        query = "SELECT request_id, experiment, key, metric, value, time FROM outcomes ORDER BY metric, request_id"
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def test_one_outcome_a_list_or_lines_are_taken(recorder: Recording, traffic: Traffic) -> None:
    """In each of the three forms; true is 1."""
    before = time.time()
    hour_ago = datetime.datetime.fromtimestamp(round(before) - 3600, datetime.timezone(datetime.timedelta(hours=1)))
    first = {"request_id": "a", "metric": "correct", "value": True}
    second = {"request_id": "b", "metric": "correct", "value": False, "time": hour_ago.isoformat()}
    third = {"request_id": "c", "metric": "rating", "value": 4.5, "time": before}
    answers = [
        recorder.post(json.dumps(first)),
        recorder.post(json.dumps([second]), "application/json; charset=utf-8"),
        recorder.post("\n" + json.dumps(third) + "\n\n", LINES),
    ]
    assert [answer.json() for answer in answers] == [{"accepted": 1}] * 3, [answer.text for answer in answers]
    rows = found(traffic)
    assert [row[:5] for row in rows] == [
        ("a", None, None, "correct", 1.0),
        ("b", None, None, "correct", 0.0),
        ("c", None, None, "rating", 4.5),
    ]
    assert before <= rows[0][5] <= time.time()
    assert rows[1][5] == round(before) - 3600


def test_a_key_is_stored_hashed(recorder: Recording, traffic: Traffic, state: State) -> None:
    """And joins the requests of the same caller."""
    hashed = read_salt(state).of("me@example.org")
    traffic.add_requests([Request("x", 1.0, "digits", "predictions", 200, "digits", hashed, "header", "2.0", "2.0", 200)])
    outcome = {"key": "me@example.org", "experiment": "digits", "metric": "clicked", "value": 1}
    assert recorder.post(json.dumps(outcome)).ok
    assert list(traffic.observations("digits", "digits", "clicked").assigned) == ["2.0"]
    assert found(traffic)[0][2] == hashed
    assert b"example.org" not in b"".join(path.read_bytes() for path in state.traffic.iterdir() if path.is_file())


def test_an_outcome_that_comes_again_counts_once(recorder: Recording, traffic: Traffic) -> None:
    """By its id, else by the metric of its request or key; a key has several where each has an id."""
    one = {"request_id": "a", "metric": "correct", "value": 0}
    key = {"key": "me", "experiment": "digits", "metric": "bought", "value": 3}
    named = [key | {"id": "order-1"}, key | {"id": "order-2"}, key | {"id": "order-2", "value": 5}]
    now = time.time()
    batch = [one, one | {"value": 1}, key, key, *named]
    answer = recorder.post(json.dumps([row | {"time": now} for row in batch]))
    assert answer.json() == {"accepted": 7}
    assert sorted(row[3:5] for row in found(traffic)) == [("bought", 3), ("bought", 3), ("bought", 5), ("correct", 1)]
    assert recorder.post(json.dumps(one | {"time": now - 60})).json() == {"accepted": 1}
    assert ("correct", 1) in [row[3:5] for row in found(traffic)], "one that was overtaken does not come back"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"value": "yes"}, "'value': must be true, false or a finite number; found 'yes'"),
        ({"value": None}, "'value': must be true, false or a finite number; found None"),
        ({"value": [1]}, "'value': must be true, false or a finite number; found [1]"),
        ({"metric": "error"}, "'metric': error is measured by the gateway: name yours otherwise"),
        ({"metric": "so good"}, "'metric': String should match pattern"),
        ({"metric": 7}, "'metric': is the number 7; write it in quotes"),
        ({"request_id": None}, "request_id is required, or key and experiment; not both"),
        ({"key": "me", "experiment": "digits"}, "request_id is required, or key and experiment; not both"),
        ({"request_id": None, "key": "me"}, "request_id is required, or key and experiment; not both"),
        ({"request_id": ""}, "'request_id': String should have at least 1 character"),
        ({"request_id": "a\x00b"}, "'request_id': String should match pattern"),
        ({"request_id": "a\ud800"}, "'request_id': "),
        ({"request_id": 7}, "'request_id': is the number 7; write it in quotes"),
        ({"time": "yesterday"}, "'time': must be a time as 2026-11-21T09:30:00Z, or Unix seconds; found 'yesterday'"),
        ({"time": "2026-11-21T09:30:00"}, "'time': must say its zone: 2026-11-21T09:30:00Z, or 2026-11-21T09:30:00+01:00"),
        ({"time": 1795251600000}, "'time': must be in seconds; 1795251600000 looks like milliseconds"),
        ({"time": 4e9}, "'time' has not come yet"),
        ({"time": 1e9}, "'time' is longer ago than the record keeps what it has (90 days)"),
        ({"time": True}, "'time': "),
        ({"label": "7"}, "unknown key 'label': known: "),
        ({"valeu": 1}, "unknown key 'valeu': did you mean 'value'?"),
    ],
)
def test_a_wrong_outcome_is_refused_with_its_reason(
    recorder: Recording, traffic: Traffic, change: dict[str, object], reason: str
) -> None:
    """And nothing of its batch is written."""
    good = {"request_id": "a", "metric": "correct", "value": 1}
    answer = recorder.post(json.dumps([good, good | change, good]))
    assert answer.status_code == 422
    body = answer.json()
    assert body["type"] == "UnprocessableInput"
    assert body["errors"] == [{"line": 2, "reason": body["errors"][0]["reason"]}]
    assert body["errors"][0]["reason"].startswith(reason), body
    assert body["message"].startswith("Nothing was written: of 3 outcomes 1 are wrong; line 2: ")
    assert found(traffic) == []


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_none_is_refused(recorder: Recording, traffic: Traffic, value: str) -> None:
    """Python's JSON reader takes them."""
    answer = recorder.post(f'{{"request_id": "a", "metric": "m", "value": {value}}}')
    assert answer.status_code == 422
    assert "finite" in answer.json()["message"]
    assert found(traffic) == []


def test_all_wrong_lines_are_named(recorder: Recording, traffic: Traffic) -> None:
    """Empty lines count, so that an editor finds what is meant."""
    good = '{"request_id": "a", "metric": "correct", "value": 1}'
    answer = recorder.post("\n".join([good, "", "{", '"text"', good, "{}"]), LINES)
    assert answer.status_code == 422
    assert [one["line"] for one in answer.json()["errors"]] == [3, 4, 6]
    assert answer.json()["message"].startswith("Nothing was written: of 5 outcomes 3 are wrong; line 3: not valid JSON")
    many = recorder.post("\n".join(["{"] * 1000), LINES).json()
    assert len(many["errors"]) == 100
    assert "of 1000 outcomes 1000 are wrong" in many["message"]
    assert found(traffic) == []


@pytest.mark.parametrize(
    ("content", "kind", "code", "message"),
    [
        (b"{", "application/json", 400, "The body is not valid JSON: "),
        (b"\xff\xfe", "application/json", 400, "The body is not valid JSON: "),
        (b"", "application/json", 400, "The body is not valid JSON: "),
        (b"[" * 100_000, "application/json", 400, "The body is not valid JSON: "),
        (b"{}", "text/plain", 415, "Content-Type must be one of application/json, application/x-ndjson"),
        (b"a=1", "application/x-www-form-urlencoded", 415, "Content-Type must be one of"),
        (b" " * (5 << 20), "application/json", 413, "4194304 bytes are taken at once: send more batches."),
    ],
)
def test_a_body_that_is_none_is_refused(recorder: Recording, content: bytes, kind: str, code: int, message: str) -> None:
    """With what was expected, and no trace of ours."""
    answer = recorder.post(content, kind)
    assert answer.status_code == code
    assert answer.json()["code"] == code
    assert answer.json()["message"].startswith(message)
    assert "Traceback" not in recorder.output.read_text()


def test_an_empty_list_is_nothing(recorder: Recording) -> None:
    """And no mistake."""
    assert recorder.post("[]").json() == {"accepted": 0}


def test_a_web_page_cannot_send_outcomes_through_a_browser(recorder: Recording) -> None:
    """Neither by a form, whose type is refused, nor by a name of its own that leads to this machine."""
    outcome = '{"request_id": "a", "metric": "correct", "value": 1}'
    assert recorder.post(outcome, "text/plain").status_code == 415
    assert recorder.post(outcome, Host="evil.example").status_code == 400
    assert recorder.post(outcome, Host="localhost").status_code == 200


def test_a_database_that_refuses_is_told_and_nothing_is_acknowledged(recorder: Recording, traffic: Traffic) -> None:
    """The sender knows that it has to send again."""
    outcome = '{"request_id": "a", "metric": "correct", "value": 1}'
    with traffic.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE outcomes RENAME TO away")
    try:
        answer = recorder.post(outcome)
    finally:
        with traffic.writing() as connection:
            connection.exec_driver_sql("ALTER TABLE away RENAME TO outcomes")
    assert answer.status_code == 503
    assert answer.json()["message"].startswith("Nothing was written: ")
    assert recorder.post(outcome).ok


def test_health_and_counters_are_given(recorder: Recording) -> None:
    """In the form that Prometheus reads."""
    health = requests.get(f"{recorder.url}/healthz", timeout=30)
    assert (health.status_code, health.json()["status"]) == (200, "recording")
    written = recorder.metric('outcomes_total{result="written"}')
    recorder.post('{"request_id": "new", "metric": "correct", "value": 1}')
    assert recorder.metric('outcomes_total{result="written"}') == written + 1
    assert recorder.metric("bad_lines_total") == 0


def test_trouble_makes_the_recorder_unhealthy_until_it_is_over(tmp_path: Path) -> None:
    """It lives on, says why, and goes on where it stood."""
    state = State(tmp_path / "state")
    (state.traffic / "access.log").mkdir(parents=True)
    with recording(state) as started:

        def status() -> int:
            return requests.get(f"{started.url}/healthz", timeout=30).status_code

        assert wait_for(lambda: status() == 503, 20)
        reason = requests.get(f"{started.url}/healthz", timeout=30).json()["reason"]
        assert "Is a directory" in reason
        assert "not recording: " in started.output.read_text()
        for name in ("access.log", "access.log.read"):
            if (state.traffic / name).exists():
                (state.traffic / name).rmdir()
        assert wait_for(lambda: status() == 200, 30)
        assert started.output.read_text().count("not recording: ") == 1
        assert "recording again" in started.output.read_text()


def test_beyond_loopback_a_key_is_asked_for(tmp_path: Path) -> None:
    """Outcomes are for those who have it; how much was recorded, and whether all is well, is for whoever asks."""
    key = tmp_path / "key"
    key.write_text(f"{KEY}\n")
    with recording(State(tmp_path / "state"), "--address", "0.0.0.0", "--key-file", key) as started:  # noqa: S104 - is what is tested
        outcome = '{"request_id": "a", "metric": "correct", "value": 1}'
        answers = [
            started.post(outcome),
            started.post(outcome, Authorization="Bearer no"),
            started.post(outcome, Authorization=KEY),
        ]
        assert {answer.status_code for answer in answers} == {401}
        assert answers[0].json()["message"] == "A key is required: Authorization: Bearer <key>."
        assert started.post(outcome, Authorization=f"Bearer {KEY}").ok
        assert requests.get(f"{started.url}/metrics", timeout=30).ok
        assert requests.get(f"{started.url}/healthz", timeout=30).ok
        assert KEY not in started.output.read_text()


def test_a_key_is_made_where_there_is_none(tmp_path: Path) -> None:
    """For its owner alone, not printed; the next start takes the same."""
    key = tmp_path / "key"
    for start in range(2):
        with recording(State(tmp_path / "state"), "--address", "0.0.0.0", "--key-file", key) as started:  # noqa: S104 - as above
            made = key.read_text().strip()
            assert started.post('{"request_id": "a", "metric": "m", "value": 1}', Authorization=f"Bearer {made}").ok
            assert (f"made {key}, the key that callers give" in started.output.read_text()) == (start == 0)
            assert made not in started.output.read_text()
    assert key.stat().st_mode & 0o777 == 0o600
