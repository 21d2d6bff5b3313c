"""Outcomes from files, the record into Parquet, and a key that is forgotten."""

from __future__ import annotations

import datetime
import json
import re
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet
from scripts_of_ours import Ended, call_script, load_file, run_script

from marina import paths
from marina.comparing.hashed_keys import HashedKeys, read_salt
from marina.comparing.outcome_reading import OutcomeReader
from marina.comparing.traffic import Traffic
from marina.comparing.traffic_rows import Outcome, Request
from marina.paths import State

NOW = time.time()
DOCUMENT = paths.ROOT / "docs" / "traffic.md"


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "state")


@pytest.fixture
def traffic(state: State) -> Iterator[Traffic]:
    """Six requests of alice's and bob's, one with an agreement."""
    with Traffic(state, create=True) as traffic:
        keys = read_salt(state, create=True)
        whose = [keys.of(name) for name in ("bob", "alice")]
        rows = [
            Request(f"r{n}", NOW - 100 + n, "digits", "predictions", 200, "digits", whose[n % 2], "header", "1") for n in range(6)
        ]
        traffic.add_requests(rows)
        traffic.add_outcomes([Outcome(f"o{n}", "correct", 1.0, NOW, f"r{n}") for n in range(6)])
        traffic.add_outcomes([Outcome("k", "bought", 3.0, NOW, None, "digits", keys.of("alice"))])
        traffic.add_split("digits", "digits", {"1.0": 50.0, "2.0": 50.0}, NOW - 200)
        yield traffic


def imported(capsys: pytest.CaptureFixture[str], state: State, file: Path, *arguments: str) -> Ended:
    return call_script(capsys, "import_outcomes", file, "--state", state.folder, *arguments)


def values(traffic: Traffic, metric: str) -> list[float]:
    return sorted(traffic.observations("digits", "digits", metric).value)


CSV = """request_id,metric,value,time
r0,rating,4.5,{now}
r1,rating,true,
r2,rating,FALSE,{iso}
"""


def test_outcomes_come_from_each_form_of_file(
    state: State, traffic: Traffic, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """CSV, JSON lines and Parquet say the same, and importing again changes nothing."""
    at = datetime.datetime.fromtimestamp(NOW, datetime.UTC)
    (tmp_path / "a.csv").write_text(CSV.format(now=NOW, iso=at.isoformat()))
    lines = [{"request_id": "r0", "metric": "rating", "value": 4.5}, {"request_id": "r1", "metric": "rating", "value": True}]
    (tmp_path / "a.jsonl").write_text("\n\n".join(map(json.dumps, lines)))
    table = {"request_id": ["r0", "r3"], "metric": ["rating", "rating"], "value": [4.5, 2.0], "time": [at, at]}
    parquet.write_table(pyarrow.table(table), tmp_path / "a.parquet")
    for name in ("a.csv", "a.jsonl", "a.parquet"):
        for _ in range(2):
            done = imported(capsys, state, tmp_path / name)
            assert done.code == 0, done.err
            assert re.fullmatch(r"\d outcomes written\n", done.out)
    assert values(traffic, "rating") == [0.0, 1.0, 2.0, 4.5]


def test_a_table_with_a_column_of_the_metrics_name_can_be_imported(
    state: State, traffic: Traffic, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a notebook writes, one column a measure, needs no rewriting."""
    (tmp_path / "a.csv").write_text("key,clicked,browser\nalice,1,x\nbob,0,y\n")
    done = imported(capsys, state, tmp_path / "a.csv", "--metric", "clicked", "--experiment", "digits", "--ignore", "browser")
    assert done.code == 0, done.err
    assert values(traffic, "clicked") == [0.0, 1.0]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (("a.csv", "request_id,metric,value\nr0,m,1\nr1,m,x\nr2,m,\n"), "nothing was written: of 3 outcomes 2 are wrong"),
        (
            ("a.csv", "request_id,metric,value\nr0,m,1\nr1,m,x\n"),
            "a.csv:3: 'value': must be true, false or a finite number",
        ),
        (("a.csv", "request_id,metric,value\nr0,m,\n"), "a.csv:2: 'value' is required"),
        (
            ("a.csv", "request_id,metric,valeu\nr0,m,1\n"),
            "a.csv:2: unknown column 'valeu': did you mean 'value'?; --ignore",
        ),
        (("a.csv", "request_id,metric,value\nr0,m,1,2\n"), "a.csv:2: has more columns than its first line, which names them"),
        (("a.csv", 'request_id,metric,value\nr0,"m"x,1\n'), "a.csv:2: not valid CSV: "),
        (("a.csv", "request_id,metric,value,time\nr0,m,1,2026-11-21 10:00\n"), "a.csv:2: 'time': must say its zone"),
        (("a.csv", b"request_id,metric\n\xff\xfe,m\n"), "a.csv: not UTF-8"),
        (("a.jsonl", '{"request_id": "r0", "metric": "m", "value": 1}\n{"a"\n'), "a.jsonl:2: not valid JSON: "),
        (("a.jsonl", "\n[1]\n"), "a.jsonl:2: "),
        (("a.parquet", "PAR"), "a.parquet: not valid Parquet: "),
        (("a.xlsx", ""), "a.xlsx: required .csv, .parquet, .jsonl, .ndjson; found .xlsx"),
        (("a", ""), "a: required .csv, .parquet, .jsonl, .ndjson; found no suffix"),
    ],
)
@pytest.mark.usefixtures("traffic")
def test_a_wrong_file_is_refused_by_its_line(
    state: State, tmp_path: Path, capsys: pytest.CaptureFixture[str], written: tuple[str, str | bytes], message: str
) -> None:
    """And nothing of it is written."""
    name, content = written
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    done = imported(capsys, state, tmp_path / name)
    assert done.code == 2
    assert message in done.err, done.err
    with Traffic(state) as traffic:
        assert traffic.metrics("digits", "digits") == ["error", "latency_seconds", "bought", "correct"]


@pytest.mark.usefixtures("traffic")
def test_a_file_that_is_not_there_is_told(state: State, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By its name."""
    done = imported(capsys, state, tmp_path / "none.csv")
    assert (done.code, done.error) == (2, f"{tmp_path / 'none.csv'}: cannot be read: No such file or directory")


def test_nothing_can_be_imported_before_anything_was_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message says what starts the recorder."""
    (tmp_path / "a.csv").write_text(CSV)
    done = call_script(capsys, "import_outcomes", tmp_path / "a.csv", "--state", tmp_path / "state")
    assert done.code == 1
    assert "no traffic has been recorded yet: `make serve` starts the recorder" in done.error


@pytest.mark.usefixtures("traffic")
def test_the_record_can_be_taken_to_parquet(state: State, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each table, with its times as times."""
    for table, count in (("requests", 6), ("outcomes", 7), ("agreements", 0), ("events", 0), ("splits", 1)):
        path = tmp_path / f"{table}.parquet"
        done = call_script(capsys, "export_traffic", "--to", path, "--table", table, "--state", state.folder)
        assert (done.code, done.out) == (0, f"{path}: {count} rows\n"), done.err
    table = parquet.read_table(tmp_path / "requests.parquet")
    assert table.column("request_id").to_pylist() == [f"r{n}" for n in range(6)]
    assert table.column("time").to_pylist()[0].timestamp() == pytest.approx(NOW - 100, abs=1e-3)
    assert table.schema.field("status").type == pyarrow.int64()
    assert json.loads(parquet.read_table(tmp_path / "splits.parquet").column("weights")[0].as_py()) == {"1.0": 50.0, "2.0": 50.0}


@pytest.mark.usefixtures("traffic")
def test_an_export_can_be_narrowed(state: State, tmp_path: Path) -> None:
    """To a model, to the last hours, to one caller, whose key need not stand in the list of processes."""
    path = tmp_path / "some.parquet"
    for arguments, key, count in (
        (["--model", "wine"], "", 0),
        (["--last", "1h"], "", 6),
        (["--last", "1s"], "", 0),
        (["--key", "-"], "alice\n", 3),
        (["--key", "-", "--table", "outcomes"], "alice\n", 4),
    ):
        done = run_script("export_traffic", "--to", path, "--state", state.folder, *arguments, stdin=key.encode())
        assert done.out == f"{path}: {count} rows\n", done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "a.csv"], "--to a.csv: required a name that ends in .parquet"),
        (
            ["--to", "a.parquet", "--table", "events", "--key", "alice"],
            "--key: events are of no caller: choose requests",
        ),
    ],
)
@pytest.mark.usefixtures("traffic")
def test_a_wrong_export_is_told(state: State, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    """In one line."""
    done = call_script(capsys, "export_traffic", "--state", state.folder, *arguments)
    assert done.code == 2
    assert message in done.error


@pytest.mark.usefixtures("traffic")
def test_an_export_that_fails_leaves_what_was_there(state: State, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing half-written is left beside it."""
    done = call_script(capsys, "export_traffic", "--to", tmp_path / "none" / "a.parquet", "--state", state.folder)
    assert done.code == 1
    assert "No such file or directory" in done.error
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_a_forgotten_key_is_nowhere(state: State, traffic: Traffic, capsys: pytest.CaptureFixture[str]) -> None:
    """Its requests, their outcomes and its own are gone, from the file too; another's stay; a second time finds nothing."""
    hashed = read_salt(state).of("alice")
    there = call_script(capsys, "forget_key", "alice", "--dry-run", "--state", state.folder)
    assert there.out == "there are: 0 agreements, 0 summaries, 4 outcomes, 3 requests, 0 payloads\n"
    assert traffic.counts()["requests"] == 6
    done = call_script(capsys, "forget_key", "alice", "--json", "--state", state.folder)
    assert json.loads(done.out) == {"agreements": 0, "summaries": 0, "outcomes": 4, "requests": 3, "payloads": 0}
    assert (traffic.counts()["requests"], traffic.counts()["outcomes"]) == (3, 3)
    assert hashed.encode() not in b"".join(path.read_bytes() for path in state.traffic.glob("traffic.db*"))
    again = run_script("forget_key", "-", "--state", state.folder, stdin=b"alice\n")
    assert again.out == "deleted: 0 agreements, 0 summaries, 0 outcomes, 0 requests, 0 payloads\n"


@pytest.mark.usefixtures("traffic")
def test_no_key_is_no_key(state: State) -> None:
    """An empty line is not taken for one."""
    done = run_script("forget_key", "-", "--state", state.folder)
    assert (done.code, done.error) == (2, "a key is required, found none")


COMMANDS = re.findall(r"^    python scripts/(\w+)\.py +([^#\n]*)", DOCUMENT.read_text(), re.MULTILINE)


@pytest.mark.parametrize(("script", "arguments"), COMMANDS)
def test_the_commands_of_the_document_are_understood(script: str, arguments: str) -> None:
    """Each has the options that docs/traffic.md gives it."""
    load_file(paths.ROOT / "scripts" / f"{script}.py").parser().parse_args(shlex.split(arguments))


def test_the_outcomes_of_the_document_are_taken() -> None:
    """As they stand in docs/traffic.md."""
    examples = re.findall(r"^    (\{.*\})$", DOCUMENT.read_text(), re.MULTILINE)
    reader = OutcomeReader(HashedKeys(b"0" * 32), 1_795_253_400.0, 90 * 86_400.0)
    assert len(list(reader.rows(enumerate(map(json.loads, examples), 1)))) == len(examples) == 2, reader.refusals
