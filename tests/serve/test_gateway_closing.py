"""How a gateway ends: a real Envoy, in front of a stand-in that can be made to wait."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from gateways import Running, StandIn, gateway_to, stand_in
from servers import eventually

from marina.gateway.closing import close

DIGITS = {"default": "1.0", "versions": {"1.0": {}}, "split": {"weights": {"1.0": 100.0}}}


@pytest.fixture
def torchserve() -> Iterator[StandIn]:
    """It takes requests, and does not answer before it is told to."""
    with stand_in() as started:
        started.hold("1.0")
        yield started


@pytest.fixture
def running(torchserve: StandIn, tmp_path: Path) -> Iterator[Running]:
    with gateway_to(torchserve.port, {"digits": DIGITS}, tmp_path) as started:
        yield started


def refuses(running: Running) -> bool:
    try:
        requests.get(f"{running.url}/healthz", timeout=10)
    except requests.ConnectionError:
        return True
    return False


def test_what_is_in_work_is_answered_before_the_gateway_ends(running: Running, torchserve: StandIn) -> None:
    """Nobody new is let in; who waits has their answer, and every answer says that its connection ends."""
    with ThreadPoolExecutor(2) as pool, requests.Session() as earlier:
        assert "Connection" not in earlier.get(f"{running.url}/healthz", timeout=10).headers
        waiting = pool.submit(requests.get, f"{running.url}/predictions/digits", timeout=30)
        assert eventually(lambda: running.gateway.in_flight("digits", "1.0") == 1)
        closed = pool.submit(close, running.gateway.stats, 30.0)
        assert eventually(lambda: refuses(running))
        assert earlier.get(f"{running.url}/healthz", timeout=10).headers["Connection"] == "close"
        assert not closed.done()
        torchserve.hold()
        answer = waiting.result()
        assert (answer.status_code, answer.headers["Connection"]) == (200, "close")
        assert closed.result()


def test_who_takes_too_long_is_not_waited_for(running: Running, torchserve: StandIn) -> None:
    """Since the gateway is to end."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(requests.get, f"{running.url}/predictions/digits", timeout=30)
        assert eventually(lambda: running.gateway.in_flight("digits", "1.0") == 1)
        assert not close(running.gateway.stats, 0.1)
        torchserve.hold()
        assert waiting.result().status_code == 200
