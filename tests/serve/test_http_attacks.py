"""Requests as bytes that no client sends, at the gateway: none becomes two, none reaches management, the next is answered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from gateways import Running, StandIn, gateway_to, stand_in
from http_attacks import ATTACKS, FAULTS_OF_TORCHSERVE, FLOODS, HIDDEN, PATHS_TO_MANAGEMENT, Attack, odd_requests
from raw_http import Said, request, say
from servers import Serving

from marina.gateway import listeners
from marina.gateway.settings import GatewaySettings
from marina.serving.polling import wait_for

CALLERS = 8
DIGITS: dict[str, Any] = {"default": "1.0", "versions": {"1.0": {}}}
REFUSALS = (400, 404, 405, 408, 413, 426, 431, 501, 505)
SLOW = 200  # connections that hold on
DOUBLED = ["CL.TE", "another TE", "TE on a folded line", "a length with a plus", "HTTP/1.0 in chunks"]


@pytest.fixture(scope="module")
def answered(server: Serving, seven: bytes) -> dict[str, Said]:
    """What the gateway says to each attack, many at once, and to an honest caller after each."""
    port = server.ports.gateway_port

    def attacked(numbered: tuple[int, Attack]) -> tuple[str, Said]:
        number, attack = numbered
        said = say(port, attack.content(f"/predictions/digits?attack{number}", seven))
        assert say(port, request("/predictions/digits", body=seven)).statuses == [200], attack.name
        return attack.name, said

    with ThreadPoolExecutor(CALLERS) as callers:
        return dict(callers.map(attacked, enumerate(ATTACKS)))


def _lines(server: Serving) -> list[str]:
    """TorchServe's own access log: a line for each request that it has taken for one."""
    files = sorted((server.folder / "logs").rglob("access_log.log"))
    assert files
    return [line for file in files for line in file.read_text(errors="replace").splitlines()]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_what_could_be_read_in_two_ways_is_refused(answered: dict[str, Said], attack: Attack) -> None:
    """With a 4xx or a closed connection; what is odd and clear may be answered, once."""
    said = answered[attack.name]
    assert len(said.statuses) <= 1, said
    if attack.may_be_answered:
        assert said.statuses
        assert said.statuses[0] < 500 or said.statuses[0] in REFUSALS
    else:
        assert said.is_closed or said.statuses
        assert all(status in REFUSALS for status in said.statuses), said


def test_one_request_never_becomes_two(server: Serving, answered: dict[str, Said]) -> None:
    """TorchServe has seen at most one request of each attack, and never the one that was hidden in it."""
    assert answered
    lines = _lines(server)
    assert any("/predictions/digits" in line for line in lines)
    assert not [line for line in lines if re.search(rf"{re.escape(HIDDEN)}[^-]", line)]
    for number, attack in enumerate(ATTACKS):
        assert sum(bool(re.search(rf"attack{number}\D", line)) for line in lines) <= 1, attack.name


@pytest.mark.parametrize("name", DOUBLED)
def test_on_torchserves_own_port_one_becomes_two(server: Serving, seven: bytes, name: str) -> None:
    """What SECURITY.md says of its Netty, and why no port but the gateway's is published."""
    attack = next(one for one in ATTACKS if one.name == name)
    doubled = f"{HIDDEN}-{DOUBLED.index(name)}-twice"
    say(server.ports.inference_port, attack.content("/predictions/digits", seven).replace(HIDDEN.encode(), doubled.encode()))
    assert wait_for(lambda: [line for line in _lines(server) if doubled in line], 10)


@pytest.mark.parametrize("path", PATHS_TO_MANAGEMENT)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_no_path_leads_to_management(server: Serving, path: str, method: str) -> None:
    """Whatever a path is dressed in, it is refused, and no list of models, figure of Envoy's or metric comes back."""
    said = say(server.ports.gateway_port, request(path, "Connection: close", method=method))
    assert all(status in (*REFUSALS, 422) for status in said.statuses), said
    assert not re.search(rb"modelUrl|\"models\"|static_resources|ts_inference|\"workflows\"", said.content), said


def test_no_method_and_no_other_protocol_leads_on(server: Serving, seven: bytes) -> None:
    """TRACE, CONNECT, WebSocket and HTTP/2 by an upgrade: none is answered with what it asks for; the next request is."""
    for content in odd_requests():
        said = say(server.ports.gateway_port, content, until_silence=True)
        assert all(status in (*REFUSALS, 403) for status in said.statuses), (content, said)
    assert say(server.ports.gateway_port, request(body=seven)).statuses == [200]


def test_a_header_asks_for_nothing_that_a_path_does_not(server: Serving, seven: bytes) -> None:
    """TorchServe's own "describe" would tell any caller what only the Management API should; at the gateway it is dropped."""
    asked = request("/predictions/digits", "describe: True", "explain: True", body=seven)
    assert b"content_sha256" in say(server.ports.inference_port, asked).content
    for content in (asked, asked.replace(b"describe", b"DesCribe")):
        said = say(server.ports.gateway_port, content)
        assert said.statuses == [200]
        assert b'"label": "7"' in said.content


@pytest.mark.parametrize("name", FAULTS_OF_TORCHSERVE)
def test_forms_that_torchserve_cannot_read_are_a_fault_of_its_frontend(server: Serving, seven: bytes, name: str) -> None:
    """500 before any handler is asked, directly and through the gateway; whoever comes next is answered."""
    for port in (server.ports.inference_port, server.ports.gateway_port):
        said = say(port, FAULTS_OF_TORCHSERVE[name])
        assert said.statuses == [500]
        assert b"ErrorDataDecoderException" in said.content
        assert b"x-model-version" not in said.content.lower()
        assert say(port, request(body=seven)).statuses == [200]


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_of_frames_is_ended_and_others_are_answered(server: Serving, seven: bytes, name: str) -> None:
    """HTTP/2's cheap frames by the ten thousand: the connection is closed, TorchServe sees few or none of them."""
    before = len(_lines(server))
    said = say(server.ports.gateway_port, FLOODS[name]())
    assert said.is_closed
    assert say(server.ports.gateway_port, request(body=seven)).statuses == [200]
    assert len(_lines(server)) - before < 2000


@pytest.fixture(scope="module")
def torchserve() -> Iterator[StandIn]:
    """Something that answers as TorchServe does."""
    with stand_in() as started:
        yield started


@pytest.fixture
def hurried(torchserve: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A gateway that waits a second for headers, and two for a request."""
    monkeypatch.setattr(listeners, "HEADERS_SECONDS", 1)
    with gateway_to(torchserve.port, {"digits": DIGITS}, tmp_path, settings=GatewaySettings(time_limit_seconds=2)) as running:
        yield running


def test_who_sends_slowly_holds_up_nobody_and_is_sent_away(hurried: Running, torchserve: StandIn) -> None:
    """Two hundred connections with half a header or half a body: others are answered, and TorchServe hears nothing of them."""
    port = hurried.place.callers.port
    torchserve.paths.clear()
    half_headers = request()[:-10]
    half_body = request(body=b"x" * 1000)[:-10]
    with ThreadPoolExecutor(SLOW) as slow:
        said = [slow.submit(say, port, half_headers if number % 2 else half_body) for number in range(SLOW)]
        in_work = r"^http\.callers\.downstream_cx_active$"
        assert wait_for(lambda: int(hurried.gateway.stats.texts(in_work).popitem()[1]) > SLOW / 2 or None, 10)
        assert say(port, request(body=b"x")).statuses == [200]
        ended = [one.result() for one in said]
    assert {tuple(one.statuses) for one in ended} <= {(408,), (504,), ()}
    assert all(one.is_closed or one.statuses for one in ended)  # the connection is closed some time after the answer
    assert [path for path in torchserve.paths if path.startswith("/predictions")] == ["/predictions/digits"]
