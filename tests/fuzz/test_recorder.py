"""Whatever is sent to the recorder, it answers with what it took or with what was wrong, and never with a fault."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mutations import changed_bytes, changed_documents, texts, written
from starlette.applications import Starlette

from marina.comparing.hashed_keys import HashedKeys
from marina.comparing.recorder import Keeping, Recorder
from marina.comparing.recorder_app import recorder_app
from marina.comparing.recording import Recording
from marina.comparing.traffic import Traffic
from marina.paths import State

OUTCOMES = [
    {"metric": "correct", "value": True, "request_id": "a", "time": "2026-11-21T09:30:00Z"},
    {"metric": "clicks", "value": 2, "experiment": "digits", "key": "ada", "time": time.time() - 60, "id": "x"},
]
KINDS = [
    "application/json",
    "application/x-ndjson",
    "application/jsonl",
    "text/plain",
    "",
    "\xff",
    "application/json; charset=\x00",
]
TAKEN, REFUSED = (200,), (400, 404, 405, 413, 415, 422)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starlette]:
    """A recorder's server on a database of its own; nothing looks at logs."""
    state = State(tmp_path_factory.mktemp("state"))
    state.traffic.mkdir(parents=True)
    with Traffic(state, None, create=True) as traffic:
        recorder = Recorder(state, traffic, HashedKeys(b"salt"), Keeping(), "http://127.0.0.1:1")
        yield recorder_app(Recording(recorder))


def _send(app: Starlette, body: bytes, kind: str, method: str = "POST", path: str = "/outcomes") -> tuple[int, bytes]:
    """What the application answers, asked as a server asks it."""
    sent: list[Any] = []

    async def call() -> None:
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(b"host", b"127.0.0.1"), (b"content-type", kind.encode("latin-1"))],
            "scheme": "http",
            "http_version": "1.1",
        }
        parts = iter([body[: len(body) // 2], body[len(body) // 2 :]])

        async def receive() -> dict[str, Any]:
            part = next(parts, None)
            return {"type": "http.request", "body": part or b"", "more_body": part is not None}

        async def send(message: Any) -> None:
            sent.append(message)

        await app(scope, receive, send)

    anyio.run(call)
    return sent[0]["status"], b"".join(one.get("body", b"") for one in sent[1:])


@given(
    body=changed_documents([OUTCOMES, OUTCOMES[0]]).map(written) | changed_bytes([written(OUTCOMES)]) | st.binary(max_size=50),
    kind=st.sampled_from(KINDS[:3]) | st.sampled_from(KINDS),
)
@example(body=b'[{"metric": "a", "value": 1' + b"0" * 400 + b', "request_id": "a"}]', kind="application/json")
@example(body=b'[{"metric": "a", "value": 1, "request_id": "a", "time": 1' + b"0" * 400 + b"}]", kind="application/json")
@example(body=b'[{"metric": "a", "value": 1, "request_id": "a", "\\ud800": 1}]', kind="application/json")
@example(body=b'[{"metric": "a", "value": ' + b"[" * 960 + b"]" * 960 + b', "request_id": "a"}]', kind="application/json")
@example(body=b"[" + b",".join(b'{"k%d": 1}' % number for number in range(300)) + b"]", kind="application/json")
@example(body=b"{" + b",".join(b'"k%d": 1' % number for number in range(100_000)) + b"}", kind="application/json")
@example(body=b'{"metric": "a", "value": 1, "request_id": "a", "' + b"k" * 1_000_000 + b'": 1}', kind="application/json")
@example(body=b'{"metric": "a", "value": 1, "request_id": "a", "time": "0001-01-01T00:00:00+23:59"}', kind="application/json")
@example(body=b"[" * 100_000, kind="application/json")
@example(body=b"9" * 5000, kind="application/x-ndjson")
def test_outcomes_are_taken_or_refused_with_the_reason(app: Starlette, body: bytes, kind: str) -> None:
    """Numbers that no float holds, half characters, deep lists, a hundred thousand unknown keys: 4xx, in JSON, not much of it."""
    status, answer = _send(app, body, kind)
    assert status in TAKEN + REFUSED, answer
    said = json.loads(answer)
    assert status in TAKEN or (said["code"] == status and said["message"])
    assert len(answer) < 200_000


@given(method=st.sampled_from(["GET", "PUT", "TRACE", "é"]), path=st.sampled_from(["/outcomes", "/healthz", "/metrics"]) | texts)
def test_any_path_and_method_is_answered(app: Starlette, method: str, path: str) -> None:
    """By what there is, or by a refusal."""
    status, _ = _send(app, b"", "application/json", method, "/" + path.encode(errors="replace").decode())
    assert status in TAKEN + REFUSED
