"""Every fault under a steady load: nothing is lost, nothing is wrong, and the house is whole again by itself.

make test tries those that are short; make faults all of them, and writes the table of docs/reliability.md.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest
from fault_table import Outcome, as_table, write_table
from faults_to_try import FAULTS, Fault, comes_back
from scripts_of_ours import load_file
from servers import Serving, eventually
from sqlalchemy import select
from steady_load import SteadyLoad, steady_load

from marina import paths
from marina.comparing.traffic import Traffic
from marina.comparing.traffic_tables import requests as requests_table
from marina.gateway.process import FLUSH_MILLISECONDS
from marina.paths import State

RATE = 20.0
CALM_REQUESTS = 40
PAYLOADS = 20
WHOLE_SECONDS = 120
UNWRITTEN_SECONDS = 5 * FLUSH_MILLISECONDS / 1000
TRIED = [pytest.param(one, marks=[] if one.short else [pytest.mark.slow], id=one.name) for one in FAULTS]

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def payloads() -> list[bytes]:
    """Pictures of held-out digits."""
    training = load_file(paths.SPECS / "digits" / "training.py")
    _, images, _, _ = training.split()
    return [training.png(image[0]) for image in images[:PAYLOADS]]


@pytest.mark.parametrize("fault", TRIED)
def test_a_fault_loses_nothing(house: Serving, payloads: list[bytes], fault: Fault, measured: dict[str, Outcome]) -> None:
    """Callers are answered rightly, or told what is wrong; the house comes back by itself, and says what happened."""
    if fault.prepare:
        fault.prepare(house)
    told = len(house.output)
    with steady_load(house.url("/predictions/digits", "gateway"), payloads, alone(house, payloads), RATE) as load:
        assert eventually(lambda: len(load.asked) >= CALM_REQUESTS)
        struck = time.monotonic()
        fault.strike(house)
        given_back = time.monotonic()
        assert comes_back(house, WHOLE_SECONDS), house.output[told:]
        assert eventually(lambda: load.rightly_answered_since(max(given_back, load.last_trouble() or 0)) >= CALM_REQUESTS, 60)
    missing = missing_records(house, load, struck if fault.unwritten else None)
    outcome = measured[fault.name] = outcome_of(load, struck, missing)
    examples = [one.said for one in load.asked if one.fate != "right"][:5]
    assert (outcome.lost, outcome.wrong) == (0, 0), examples
    assert fault.errors or outcome.error == 0, examples
    assert fault.refuses or outcome.refused == 0, examples
    assert fault.cuts or outcome.cut == 0, examples
    if fault.said is not None:
        house.wait_for_output(fault.said, 30)


def test_the_table_is_written(measured: dict[str, Outcome], request: pytest.FixtureRequest) -> None:
    """With --update, docs/reliability.md has what was measured now."""
    if request.config.getoption("--update"):
        write_table(as_table([one.name for one in FAULTS], measured))


def alone(house: Serving, payloads: list[bytes]) -> dict[str, Sequence[Any]]:
    """What each version answers when nothing else is asked."""
    versions = ("1.0", "2.0")
    return {one: [house.ask(f"/predictions/digits/{one}", payload).json() for payload in payloads] for one in versions}


def outcome_of(load: SteadyLoad, struck: float, missing: int) -> Outcome:
    fates, trouble = load.fates(), load.last_trouble()
    return Outcome(
        load.rate,
        sent=len(load.asked),
        right=fates["right"],
        error=fates["error"],
        refused=fates["refused"],
        cut=fates["cut"],
        lost=fates["lost"] + missing,
        wrong=fates["wrong"],
        recovered=max(0.0, trouble - struck) if trouble else 0.0,
    )


def missing_records(house: Serving, load: SteadyLoad, killed: float | None) -> int:
    """How many requests were answered that the record never has; where the gateway was killed, not those just before."""
    known = [one for one in load.asked if not (killed and killed - UNWRITTEN_SECONDS < one.done < killed)]
    answered = {one.request_id for one in known if one.request_id}

    def missing() -> set[str]:
        with Traffic(State(house.folder / "state")) as traffic, traffic.reading() as connection:
            return answered - set(connection.execute(select(requests_table.c.request_id)).scalars())

    eventually(lambda: not missing(), 30)
    return len(missing())
