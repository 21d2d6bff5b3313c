"""The files of a gateway that stands in front of several TorchServes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from scripts_of_ours import call_script

from marina.gateway.gateway import Gateway
from marina.paths import State

INSIDE = ("--inside", "gateway", "172.30.77.0/24")


@pytest.fixture
def written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> State:
    done = call_script(capsys, "write_gateway", "tasks.torchserve", *INSIDE, "--state", tmp_path)
    assert (done.code, done.out) == (0, f"wrote {tmp_path / 'gateway'}\n"), done.err
    return State(tmp_path)


def resources(state: State, kind: str) -> dict[str, Any]:
    found = json.loads((state.gateway / "watched" / f"{kind}.json").read_text())["resources"]
    return {one["name"]: one for one in found}


def test_requests_go_to_every_address_of_the_name(written: State) -> None:
    """Envoy asks the DNS for it again and again, and passes over an address that takes no connection."""
    torchserve = resources(written, "clusters")["torchserve"]
    (endpoint,) = torchserve["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert torchserve["type"] == "STRICT_DNS"
    assert endpoint["endpoint"]["address"]["socket_address"] == {"address": "tasks.torchserve", "port_value": 8080}
    assert "connect-failure" in (written.gateway / "watched" / "arms.json").read_text()


def test_the_internal_listener_is_on_one_network(written: State) -> None:
    """Its address there is not known before it runs: it takes connections to addresses of that network and its own alone."""
    internal = resources(written, "listeners")["internal"]
    (chain,) = internal["filter_chains"]
    assert internal["address"]["socket_address"]["address"] == "0.0.0.0"  # noqa: S104 - limited by the next line
    assert chain["filter_chain_match"]["prefix_ranges"] == [
        {"address_prefix": "172.30.77.0", "prefix_len": 24},
        {"address_prefix": "127.0.0.0", "prefix_len": 8},
    ]
    assert "filter_chain_match" not in resources(written, "listeners")["callers"]["filter_chains"][0]


def test_scripts_find_the_gateway_by_its_name(written: State) -> None:
    """Those that are given the state alone."""
    assert Gateway(written).stats.address == "http://gateway:8001"
    assert Gateway(written).deployment().models["digits"].split is not None


def test_a_network_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """Anything else is one line, before anything is written."""
    with pytest.raises(SystemExit, match="2"):
        call_script(capsys, "write_gateway", "tasks.torchserve", "--inside", "gateway", "172.30.77.2/24")
    assert "--inside: a network is required, such as 172.30.77.0/24; found '172.30.77.2/24'" in capsys.readouterr().err
