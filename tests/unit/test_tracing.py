"""A request's spans stand in its caller's trace, and say nothing of what was sent."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from collectors import Collector, Seen, collector
from doublers import Doubler, Twice
from handlerkit.payload import content
from handlerkit.telemetry import Seldom, open_tracing
from handlerkit.testing import EXPLAIN
from workers import Answer, Worker, config, traced

STAGES = ["preprocess", "inference", "postprocess"]
SECRET = "secret"  # noqa: S105 - what must be seen nowhere


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector, and the one variable that it takes to send spans there."""
    with collector() as started:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", started.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
        yield started


def doubler(folder: Path) -> Worker:
    return Worker(Doubler(), traced(folder, Twice(), (1,)), config(), version="3.1")


def parent(number: int, flags: str = "01") -> dict[str, str]:
    """The header of a caller with a trace of its own."""
    return {"Traceparent": f"00-{number:032x}-{number:016x}-{flags}"}


def ask(worker: Worker, *rows: Any, headers: list[dict[str, str]]) -> list[Answer]:
    return worker.ask(*[{"body": row} for row in rows], headers=headers)


def tree(collected: Collector, number: int, spans: int) -> tuple[Seen, list[Seen]]:
    """A caller's server span, and what is below it; all of its trace that was sent."""
    server, *below = sorted(collected.wait_for(f"{number:032x}", spans), key=lambda one: one.kind != "SERVER")
    assert server.parent == f"{number:016x}"
    assert {one.parent for one in below} <= {server.span}
    assert all(server.started <= one.started <= one.ended <= server.ended for one in below)
    return server, sorted(below, key=lambda one: one.started)


def test_each_caller_of_a_batch_sees_its_own_request_with_three_stages(collected: Collector, tmp_path: Path) -> None:
    """Two callers and one without a trace share a batch: each has a tree of its own, and none an id of another's."""
    ask(doubler(tmp_path), 1, 2, 3, headers=[parent(1), parent(2), {}])
    for number in (1, 2):
        server, below = tree(collected, number, 4)
        assert (server.name, server.kind, server.is_error) == ("predict tiny", "SERVER", False)
        assert [one.name for one in below] == STAGES
        assert {one.kind for one in below} == {"INTERNAL"}
        assert {one.attributes["marina.stage.rows"] for one in below} == {3}
    assert len({span.trace for span in collected.spans}) == 3
    assert len({span.span for span in collected.spans}) == len(collected.spans) == 12
    assert not any(span.links or span.events for span in collected.spans)


def test_a_span_says_who_answered_and_how(collected: Collector, tmp_path: Path) -> None:
    """By OpenTelemetry's own names where it has some."""
    ask(doubler(tmp_path), 1, headers=[parent(1) | {"X-Request-Id": "mine"}])
    server, _ = tree(collected, 1, 4)
    assert server.attributes == {
        "http.response.status_code": 200,
        "marina.model.name": "tiny",
        "marina.model.version": "3.1",
        "marina.runtime": "torchscript",
        "marina.kind": "predict",
        "marina.request.id": "mine",
        "marina.request.rows": 1,
        "marina.batch.rows": 1,
    }
    assert server.resource["service.name"] == "torchserve"
    assert server.resource["process.pid"] == os.getpid()


def test_a_refused_row_is_no_error_and_has_no_more_stages(collected: Collector, tmp_path: Path) -> None:
    """A 4xx is its caller's: its span says why, and its batch-mate's says nothing of it."""
    good, bad = ask(doubler(tmp_path), 1, "word", headers=[parent(1), parent(2)])
    assert (good.status, bad.status) == (200, 422)
    server, below = tree(collected, 2, 2)
    assert (server.is_error, server.attributes["http.response.status_code"]) == (False, 422)
    assert server.attributes["marina.refusal"] == "UnprocessableInput"
    assert [one.name for one in below] == ["preprocess"]
    assert [one.attributes["marina.stage.rows"] for one in tree(collected, 1, 4)[1]] == [2, 1, 1]


def test_a_fault_is_an_error_and_its_halving_is_seen(collected: Collector, tmp_path: Path) -> None:
    """The network fails on 13: its span has the class of what was raised, and never the text."""
    answers = ask(doubler(tmp_path), 1, 13, headers=[parent(1), parent(2)])
    assert [answer.status for answer in answers] == [200, 500]
    server, below = tree(collected, 2, 5)
    assert (server.is_error, server.status_text, server.attributes["error.type"]) == (True, "ServerFault", "ServerFault")
    assert [(one.name, one.attributes["marina.stage.rows"]) for one in below] == [
        ("preprocess", 2),
        ("inference", 2),
        ("preprocess", 1),
        ("inference", 1),
    ]
    assert [(one.is_error, one.attributes.get("error.type")) for one in below if one.name == "inference"] == [
        (True, "RuntimeError")
    ] * 2
    mate, of_mate = tree(collected, 1, 6)
    assert not mate.is_error
    assert [one.name for one in of_mate] == ["preprocess", "inference", *STAGES]
    assert not any(SECRET.encode() in body for body in collected.bodies)


def test_an_explanation_has_a_stage_of_its_own(collected: Collector, tmp_path: Path) -> None:
    """In a batch with predictions, it is explained alone."""
    ask(doubler(tmp_path), 1, 2, 3, headers=[parent(1), parent(2) | EXPLAIN, parent(3) | EXPLAIN])
    server, below = tree(collected, 2, 3)
    assert (server.name, server.attributes["marina.kind"], server.attributes["marina.batch.rows"]) == (
        "explain tiny",
        "explain",
        3,
    )
    assert [(one.name, one.attributes["marina.stage.rows"]) for one in below] == [("preprocess", 2), ("explain", 1)]


def test_a_request_of_several_rows_is_one_span(collected: Collector, tmp_path: Path) -> None:
    """KServe's instances are rows of their own, and share their request's stages."""
    body = {"instances": [{"data": 1}, {"data": 2}]}
    worker = Worker(Numbers(), traced(tmp_path, Twice(), (1,)), config())
    (answer,) = ask(worker, body, headers=[parent(1) | {"Content-Type": "application/json"}])
    assert answer.status == 200, answer.body
    server, below = tree(collected, 1, 4)
    assert server.attributes["marina.request.rows"] == 2
    assert [(one.name, one.attributes["marina.stage.rows"]) for one in below] == [(stage, 2) for stage in STAGES]


class Numbers(Doubler):
    """Takes KServe's instances."""

    def preprocess_row(self, row: Any) -> Any:
        row["body"] = content(row)
        return super().preprocess_row(row)


def test_what_the_caller_does_not_record_is_not_recorded(collected: Collector, tmp_path: Path) -> None:
    """OpenTelemetry's default sampler follows the caller."""
    ask(doubler(tmp_path), 1, 2, headers=[parent(1, flags="00"), parent(2)])
    tree(collected, 2, 4)
    assert collected.of_trace(f"{1:032x}") == []


@pytest.mark.parametrize("header", ["", "00-x-y-01", "ff" * 5000, "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
def test_a_wrong_traceparent_begins_a_trace(header: str, collected: Collector, tmp_path: Path) -> None:
    """Whatever is in it, the request is answered, and seen in a trace of its own."""
    (answer,) = ask(doubler(tmp_path), 1, headers=[{"traceparent": header}])
    assert answer.status == 200
    trace = collected.wait_for_any()
    assert [one.parent for one in collected.wait_for(trace, 4)].count("") == 1


def test_standard_variables_name_the_service_and_bring_the_key(
    collected: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER: as everywhere."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "digits-eu")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"authorization=Bearer {SECRET}")
    ask(doubler(tmp_path), 1, headers=[parent(1)])
    server, _ = tree(collected, 1, 4)
    assert (server.resource["service.name"], server.resource["deployment.environment.name"]) == ("digits-eu", "staging")
    assert collected.headers[0]["authorization"] == f"Bearer {SECRET}"
    assert not any(SECRET.encode() in body for body in collected.bodies)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    ask(doubler(tmp_path), 1, headers=[parent(2)])
    assert collected.of_trace(f"{2:032x}") == []


ASKED = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "tracing is off: OTEL_TRACES_EXPORTER must be otlp or none; found zipkin"),
        (
            ASKED | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "tracing is off: OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf; found grpc",
        ),
    ],
)
def test_what_cannot_be_done_is_one_line(variables: dict[str, str], message: str, caplog: pytest.LogCaptureFixture) -> None:
    """In the worker's log; the model loads."""
    assert open_tracing("m", "1", "eager", variables).now() == 0
    assert caplog.messages == [message]


def test_what_opentelemetry_refuses_is_one_line_and_the_model_loads() -> None:
    """Here a propagator that is not installed."""
    done = in_a_process(LOADED, ASKED | {"OTEL_PROPAGATORS": "pigeon"})
    assert done.stdout.startswith("200 "), done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("handlerkit")]
    assert line.startswith(
        "handlerkit.telemetry: tracing is off: OpenTelemetry refuses its variables: Propagator pigeon not found."
    )


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_SERVICE_NAME": "mine", "OTEL_TRACES_SAMPLER": "always_on"},
        ASKED | {"OTEL_SDK_DISABLED": "true"},
        ASKED | {"OTEL_TRACES_EXPORTER": "none"},
    ],
    ids=["no-endpoint", "disabled", "none"],
)
def test_off_is_off(variables: dict[str, str]) -> None:
    """Without an endpoint, or where a variable says so, nothing is made at all."""
    tracing = open_tracing("m", "1", "eager", variables)
    with tracing.stage("inference", []):
        assert tracing.now() == 0


def test_a_worker_without_tracing_imports_nothing_of_it() -> None:
    """OpenTelemetry is installed, and left where it is."""
    done = in_a_process(LOADED, {"OTEL_SERVICE_NAME": "mine"})
    assert done.stdout == "200 0\n", done.stderr
    assert "handlerkit" not in done.stderr


def test_a_worker_that_ends_sends_what_it_has(collected: Collector) -> None:
    """Also the request that it ended on, at once, however long the next delivery would have waited."""
    done = in_a_process(ENDING, {"OTEL_EXPORTER_OTLP_ENDPOINT": collected.url, "OTEL_BSP_SCHEDULE_DELAY": "600000"})
    assert done.returncode == 1, done.stderr
    tree(collected, 1, 4)
    server, below = tree(collected, 2, 3)
    assert (server.is_error, server.attributes["error.type"]) == (True, "SystemExit")
    assert below[-1].attributes["error.type"] == "MemoryError"


LOADED = """
import logging, sys, tempfile
from pathlib import Path
logging.basicConfig(format="%(name)s: %(message)s")
from doublers import Doubler, Twice
from workers import Worker, config, traced
(answer,) = Worker(Doubler(), traced(Path(tempfile.mkdtemp()), Twice(), (1,)), config()).ask({"body": 1})
print(answer.status, sum(name.startswith("opentelemetry") for name in sys.modules))
"""


ENDING = """
import tempfile
from pathlib import Path
from doublers import Doubler, Twice
from workers import Worker, config, traced
worker = Worker(Doubler(), traced(Path(tempfile.mkdtemp()), Twice(), (1,)), config())
for number, row in ((1, 1), (2, 15)):
    worker.ask({"body": row}, headers=[{"traceparent": f"00-{number:032x}-{number:016x}-01"}])
"""


def in_a_process(code: str, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run Python with these variables of OpenTelemetry's alone."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    own = {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "ignore"}
    return subprocess.run([sys.executable, "-c", code], env=kept | own | variables, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("how", ["gone", "hangs", "refuses"])
def test_a_collector_that_is_gone_or_slow_costs_no_request(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Two thousand requests are answered while the first delivery still hangs or fails; the log has a few lines."""
    released = threading.Event()
    with collector(status=503 if how == "refuses" else 200, released=released if how == "hangs" else None) as started:
        url = "http://127.0.0.1:9" if how == "gone" else started.url
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "600" if how == "hangs" else "1")
        worker = doubler(tmp_path)
        for _ in range(250):
            assert {answer.status for answer in ask(worker, *range(8), headers=[{}] * 8)} == {200}
        released.set()
    assert len([record for record in caplog.records if record.name.startswith("opentelemetry")]) <= 6


def test_the_same_complaint_is_logged_once_in_five_minutes() -> None:
    """Of each wording; another is let through."""
    seldom = Seldom()
    lines = [logging.makeLogRecord({"msg": text, "args": (number,)}) for number, text in enumerate(["%s a", "%s a", "%s b"])]
    assert [seldom.filter(line) for line in lines] == [True, False, True]


@pytest.mark.usefixtures("collected")
def test_tracing_that_fails_costs_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Here by a provider that breaks; the log says so."""
    worker = doubler(tmp_path)
    monkeypatch.setattr(worker.handler.tracing._tracer, "start_span", None)
    (answer,) = ask(worker, 1, headers=[parent(1)])
    assert answer.body == {"twice": 2.0}
    assert "a request's spans could not be made" in caplog.text
