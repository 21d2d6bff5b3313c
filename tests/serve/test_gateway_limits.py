"""What the gateway refuses, and how it says so: JSON with a code, a type, a message and the request's id."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from gateways import Running, StandIn, gateway_to, split_of, stand_in
from scripts_of_ours import run_script
from servers import eventually

from marina.gateway.keys import Key
from marina.gateway.settings import GatewaySettings, Tls

OLD, NEW = "0123456789abcdef0123456789abcdef", "GoodLetters-And_Digits42"
DIGITS: dict[str, Any] = {
    "default": "1.0",
    "versions": {"1.0": {}, "2.0": {}},
    "split": {"weights": split_of(v1=100.0, v2=0.0)},
    "limits": {"in_flight": 3},
    "shadow": {"version": "2.0", "percent": 100.0, "in_flight": 2},
}


@pytest.fixture(scope="module")
def torchserve() -> Iterator[StandIn]:
    """Something that answers as TorchServe does."""
    with stand_in() as started:
        yield started


@pytest.fixture
def running(torchserve: StandIn, tmp_path: Path) -> Iterator[Running]:
    """A gateway with small limits."""
    limits = GatewaySettings(body_limit_bytes=100_000, time_limit_seconds=2)
    with gateway_to(torchserve.port, {"digits": DIGITS}, tmp_path, settings=limits) as started:
        try:
            yield started
        finally:
            torchserve.hold()


def ask(running: Running, content: bytes = b"x", **headers: str) -> requests.Response:
    """Ask for a prediction."""
    return requests.post(f"{running.url}/predictions/digits", data=content, headers=headers, timeout=30)


def check_error(answer: requests.Response, code: int, kind: str, message: str) -> None:
    """See that an answer is an error as all of the gateway's are."""
    error = answer.json()
    assert answer.status_code == error["code"] == code, error
    assert error["type"] == kind
    assert message in error["message"]
    assert error["request_id"] == answer.headers["X-Request-Id"]
    assert answer.headers["Content-Type"] == "application/json"


def test_more_than_an_arm_takes_is_refused_at_once(running: Running, torchserve: StandIn) -> None:
    """429 with Retry-After; those in work are answered, and the arm's own failures do not count the refused."""
    torchserve.hold("1.0")
    with ThreadPoolExecutor(3) as callers:
        taken = [callers.submit(ask, running) for _ in range(3)]
        in_work = r"^cluster\.digits/1_0/only\.upstream_rq_active$"
        assert eventually(lambda: running.gateway.stats.texts(in_work).popitem()[1] == "3")
        refused = ask(running)
        torchserve.hold()
        assert [one.result().status_code for one in taken] == [200] * 3
    check_error(refused, 429, "TooManyRequests", "try again after the seconds in Retry-After")
    assert refused.headers["Retry-After"] == "1"
    assert refused.headers["X-Assigned-Version"] == "1.0"
    assert running.gateway.arms("digits")["1.0"].first_statuses == {200: 3, 429: 1}


def test_what_takes_too_long_is_ended(running: Running, torchserve: StandIn) -> None:
    """504, once: it may have done its work."""
    torchserve.hold("1.0")
    torchserve.paths.clear()
    check_error(ask(running), 504, "GatewayTimeout", "No answer came within 2 s.")
    assert torchserve.paths.count("/predictions/digits/1.0") == 1
    assert running.gateway.arms("digits")["1.0"].first_statuses == {504: 1}


def test_a_server_that_is_gone_is_said(tmp_path: Path) -> None:
    """503, and not ready; with the request's id as every error."""
    with stand_in() as torchserve, gateway_to(torchserve.port, {"digits": DIGITS}, tmp_path) as running:
        torchserve.stop()
        check_error(ask(running), 503, "ServiceUnavailable", "The model's server cannot be reached.")
        assert eventually(lambda: requests.get(f"{running.url}/ready", timeout=10).status_code == 503)
        check_error(requests.get(f"{running.url}/ready", timeout=10), 503, "NotReady", "Workers are missing that must be READY")
        assert requests.get(f"{running.url}/healthz", timeout=10).json() == {"status": "alive"}


@pytest.mark.parametrize("size", [100_001, 30_000_000])
def test_a_body_over_the_limit_is_refused(running: Running, size: int) -> None:
    """413, whether it is said beforehand or found while reading; one at the limit goes through."""
    check_error(ask(running, bytes(size)), 413, "PayloadTooLarge", "larger than the 100000 bytes that the gateway takes")
    assert ask(running, bytes(100_000)).status_code == 200


def test_a_shadow_is_neither_felt_nor_more_than_it_may(running: Running, torchserve: StandIn) -> None:
    """Copies to a version that never answers hold no caller; of many only so many are in work."""
    torchserve.hold("2.0")
    torchserve.paths.clear()
    with ThreadPoolExecutor(3) as callers:
        answers = list(callers.map(lambda _: ask(running, bytes(90_000)), range(30)))
    assert {(one.status_code, one.headers["X-Model-Version"]) for one in answers} == {(200, "1.0")}
    assert torchserve.paths.count("/predictions/digits/1.0") == 30
    assert 1 <= torchserve.paths.count("/predictions/digits/2.0") <= 2


def test_a_shadows_copy_has_the_request_and_its_id(running: Running, torchserve: StandIn) -> None:
    """Both are asked for a summary, under the id that the caller is told; a caller cannot ask for one."""
    torchserve.heads.clear()
    answer = ask(running, b"x", **{"x-marina-summary": "0", "Authorization": "Bearer x", "X-User-Id": "ada"})
    assert eventually(lambda: sum(b"/digits/" in head and b"/models" not in head for head in torchserve.heads) == 2)
    for head in [head for head in torchserve.heads if b"/models" not in head]:
        assert f"x-request-id: {answer.headers['X-Request-Id']}".encode() in head
        assert b"x-marina-summary: 1" in head
        assert b"authorization" not in head.lower()


def test_an_answer_that_streams_comes_as_it_is_made(running: Running, torchserve: StandIn) -> None:
    """The first part is there before the last one is sent."""
    torchserve.hold("any")
    with requests.post(f"{running.url}/predictions/digits/streaming", stream=True, timeout=10) as answer:
        parts = answer.iter_content(None)
        assert next(parts) == b"first"
        torchserve.hold()
        assert b"".join(parts) == b"last"


def test_a_rate_above_the_limit_is_refused(torchserve: StandIn, tmp_path: Path) -> None:
    """Of more requests a second than are taken the rest get 429 with Retry-After; /healthz and /ready are no requests."""
    with gateway_to(torchserve.port, {"digits": DIGITS}, tmp_path, settings=GatewaySettings(requests_per_second=5)) as running:
        answers = [ask(running) for _ in range(20)]
        refused = [one for one in answers if one.status_code == 429]
        assert refused
        check_error(refused[0], 429, "TooManyRequests", "try again")
        assert refused[0].headers["Retry-After"] == "1"
        assert {requests.get(f"{running.url}{path}", timeout=10).status_code for path in ("/healthz", "/ready") * 10} == {200}


def test_keys_are_asked_for_and_change_without_a_gap(torchserve: StandIn, tmp_path: Path) -> None:
    """The old one is good beside the new one, then no more; the caller's connection stays, and TorchServe sees none."""
    old, new = (f"Bearer {key}" for key in (OLD, NEW))
    with gateway_to(torchserve.port, {"digits": DIGITS}, tmp_path, [Key("shop", OLD)]) as running, requests.Session() as caller:

        def status(key: str) -> int:
            return caller.get(f"{running.url}/predictions/digits", headers={"Authorization": key}, timeout=10).status_code

        for wrong in ("", new, f"{old}x", "Bearer", f"Basic {OLD}"):
            check_error(ask(running, Authorization=wrong), 401, "Unauthorized", "send it as Authorization: Bearer KEY")
        assert status(old) == 200
        running.gateway.set_keys([Key("shop", OLD), Key("shop", NEW)])
        assert (status(old), status(new)) == (200, 200)
        running.gateway.set_keys([Key("shop", NEW)])
        assert (status(old), status(new)) == (401, 200)
        opened = running.gateway.stats.texts(r"^http\.callers\.downstream_cx_total$").popitem()[1]
        assert int(opened) == 1 + 5  # the caller's, and one for each wrong key
        assert requests.get(f"{running.url}/ready", timeout=10).ok
    assert not any(OLD.encode() in head or NEW.encode() in head for head in torchserve.heads)
    logs = [path for path in tmp_path.rglob("*") if path.suffix == ".log"]
    assert len(logs) == 2
    assert not any(key in path.read_text() for path in logs for key in (OLD, NEW))


def test_callers_speak_tls_and_a_new_certificate_is_taken_without_a_restart(torchserve: StandIn, tmp_path: Path) -> None:
    """The certificate of make_certificate.py; replaced while Envoy runs, new connections get the new one."""
    made = tmp_path / "certificates"
    assert run_script("make_certificate", "--folder", made).code == 0
    tls = Tls(certificate=str(made / "certificate.pem"), key=str(made / "key.pem"))
    with gateway_to(torchserve.port, {"digits": DIGITS}, tmp_path, settings=GatewaySettings(tls=tls)) as running:
        url = f"https://{running.place.callers}/predictions/digits"
        answer = requests.get(url, verify=tls.certificate, timeout=10)
        assert answer.status_code == 200
        assert "; Secure" in answer.headers["Set-Cookie"]
        with pytest.raises(requests.exceptions.ConnectionError):
            requests.get(f"{running.url}/predictions/digits", timeout=10)
        assert run_script("make_certificate", "--folder", made, "--force").code == 0
        assert eventually(lambda: _trusts(url, tls.certificate))


def _trusts(url: str, certificate: str) -> bool:
    try:
        return requests.get(url, verify=certificate, timeout=10).ok
    except requests.exceptions.SSLError:
        return False
