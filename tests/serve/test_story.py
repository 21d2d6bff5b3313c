"""The whole way of a new version: served beside the old, judged by what came of its answers, rolled out, reported."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import requests
from callers import calling
from scripts_of_ours import Ended, load_file, run_script
from servers import READY, Serving, eventually, serving

from marina import paths
from marina.comparing.traffic import Traffic
from marina.gateway.gateway import Gateway
from marina.paths import State, Store
from marina.serving.free_ports import free_ports

CALLERS = 600
CONNECTIONS = 8
RIGHT = 2  # columns that the digits are moved by, to the edge of their images, where the small network errs more

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def house(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """What ``make serve`` serves: digits, half and half."""
    with serving(free_ports(), store, tmp_path_factory.mktemp("house")) as started:
        started.wait_for_output(READY)
        yield started


@pytest.fixture(scope="module")
def digits() -> list[tuple[bytes, str]]:
    """Held-out digits at the edge of their images, each with the label that a person gave it."""
    training = load_file(paths.SPECS / "digits" / "training.py")
    _, images, _, labels = training.split()
    moved = np.roll(images, RIGHT, axis=-1)
    return [(training.png(image[0]), str(label)) for image, label in zip(moved, labels, strict=True)]


def run(house: Serving, name: str, *arguments: str | Path) -> Ended:
    return run_script(name, *arguments, "--state", house.folder / "state", environment=house.environment)


def url(house: Serving) -> str:
    return f"http://127.0.0.1:{house.ports.gateway_port}/predictions/digits"


def test_a_version_that_is_better_is_found_so_and_rolled_out(house: Serving, digits: list[tuple[bytes, str]]) -> None:
    """Callers ask, labels come in as outcomes, the judge says that 2.0 is better; then it gets every caller, none is lost."""
    local = threading.local()

    def outcome(number: int) -> dict[str, object]:
        """Ask as a caller of one's own, and say whether the answer was right."""
        session = local.session = getattr(local, "session", None) or requests.Session()
        image, label = digits[number % len(digits)]
        answer = session.post(url(house), data=image, headers={"X-User-Id": f"caller {number}"}, timeout=60)
        assert answer.status_code == 200
        right = answer.json()[0]["label"] == label
        return {"request_id": answer.headers["X-Request-Id"], "metric": "correct", "value": right}

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        outcomes = list(pool.map(outcome, range(CALLERS)))
    taken = requests.post(
        f"http://127.0.0.1:{house.ports.recorder_port}/outcomes",
        data="\n".join(map(json.dumps, outcomes)),
        headers={"Content-Type": "application/x-ndjson"},
        timeout=60,
    )
    assert taken.status_code == 200, taken.text
    with Traffic(State(house.folder / "state")) as traffic:
        assert eventually(lambda: traffic.counts()["requests"] >= CALLERS)

    judged = run(house, "judge_ab", "digits", "--metric", "correct", "--json")
    assert judged.code == 0, judged.err
    (verdict,) = json.loads(judged.out)["verdicts"]
    assert (verdict["verdict"], verdict["arm"], verdict["control"]) == ("better", "2.0", "1.0"), verdict["sentence"]
    assert verdict["sample_ratio"]["right"]
    assert sum(verdict["requests"].values()) == CALLERS

    quick = ("--steps", "75,100", "--bake", "2s", "--min-requests", "30", "--max-bake", "60s", "--p99-ratio", "10", "--yes")
    with calling(url(house), [digits[0][0], digits[1][0]]) as callers:
        done = run(house, "roll_out", "digits", "2.0", *quick, "--store", house.store.folder)
        assert done.code == 0, done.err
        callers.stop()
    assert callers.failed == []
    assert {status for (_, status), _ in callers.statuses.items()} == {200}
    gateway = Gateway(State(house.folder / "state"))
    assert gateway.splits()["digits"].weights == {"1.0": 0.0, "2.0": 100.0}


def test_the_report_tells_the_story(house: Serving, tmp_path: Path) -> None:
    """One page with the verdict, the arms and the rollout; the judge counts keys by the split as it was at each time."""
    report = tmp_path / "report.html"
    done = run(house, "report_ab", "digits", "--to", report)
    assert done.code == 0, done.err
    page = report.read_text()
    for told in ("2.0", "1.0", "correct", "better", "rollout"):
        assert told in page
    judged = run(house, "judge_ab", "digits", "--metric", "correct", "--json")
    assert json.loads(judged.out)["verdicts"][0]["verdict"] == "better"
