"""The whole way of new versions: served beside the old, judged by what came of their answers, rolled out, or back; reported."""

from __future__ import annotations

import base64
import json
import re
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from callers import Callers, calling
from scripts_of_ours import Ended, load_file, run_script
from servers import READY, SAMPLE, Serving, eventually, serving
from third_digits import CRASHING, SLOW, WORSE, write_third_digits

from marina import paths
from marina.comparing.kept_payloads import KeptPayloads
from marina.comparing.rollout import Record
from marina.comparing.traffic import Traffic
from marina.gateway.gateway import Gateway
from marina.paths import State, Store
from marina.serving.free_ports import free_ports

CALLERS = 600
CONNECTIONS = 8
RIGHT = 2  # columns that the digits are moved by, to the edge of their images, where the small network errs more

PROMOTED = {"1.0": 0.0, "2.0": 100.0}
DEPLOYMENT = """
models:
  digits:
    default: "1.0"
    versions: {{"1.0": {{}}, "2.0": {{}}{more}}}
    split: {{weights: {{"1.0": 50, "2.0": 50}}}}
    payloads: {{percent: 20, most: 60}}
"""

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def house(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """What ``make serve`` serves: digits, half and half; and some requests are kept."""
    folder = tmp_path_factory.mktemp("house")
    own = Store(folder / "store")
    shutil.copytree(store.folder, own.folder)
    (folder / "deployment.yaml").write_text(DEPLOYMENT.format(more=""))
    with serving(free_ports(), own, folder, "--deployment", folder / "deployment.yaml") as started:
        started.wait_for_output(READY)
        yield started


@pytest.fixture(scope="module")
def digits() -> list[tuple[bytes, str]]:
    """Held-out digits at the edge of their images, each with the label that a person gave it."""
    training = load_file(paths.SPECS / "digits" / "training.py")
    _, images, _, labels = training.split()
    moved = np.roll(images, RIGHT, axis=-1)
    return [(training.png(image[0]), str(label)) for image, label in zip(moved, labels, strict=True)]


@pytest.fixture(scope="module")
def images(digits: list[tuple[bytes, str]]) -> list[bytes]:
    """Some of them, of every kind."""
    return [image for image, _ in digits[:40]]


def run(house: Serving, name: str, *arguments: str | Path) -> Ended:
    return run_script(name, *arguments, "--state", house.folder / "state", environment=house.environment)


def roll_out(house: Serving, *arguments: str | Path) -> Ended:
    places = ("--store", house.store.folder, "--deployment", house.folder / "deployment.yaml")
    return run(house, "roll_out", "digits", *arguments, *places)


def url(house: Serving) -> str:
    return f"http://127.0.0.1:{house.ports.gateway_port}/predictions/digits"


def test_a_version_that_is_better_is_found_so(house: Serving, digits: list[tuple[bytes, str]]) -> None:
    """Callers ask, each in one of three ways; labels come in as outcomes, and the judge says that 2.0 is better."""
    local = threading.local()

    def outcome(number: int) -> dict[str, object]:
        """Ask as a caller of one's own, and say whether the answer was right."""
        session = local.session = getattr(local, "session", None) or requests.Session()
        image, label = digits[number % len(digits)]
        ways: list[Any] = [{"data": image}, {"files": {"data": image}}, {"json": {"data": base64.b64encode(image).decode()}}]
        answer = session.post(url(house), headers={"X-User-Id": f"caller {number}"}, timeout=60, **ways[number % 3])
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


def test_what_was_kept_of_callers_is_asked_again_as_they_asked(house: Serving) -> None:
    """Bytes, forms and JSON, each with its own headers: they are answered once more."""
    payloads = KeptPayloads(State(house.folder / "state")).read("digits")
    asked = [house.ask("/predictions/digits", one.content, **one.headers) for one in payloads]
    assert [answer.status_code for answer in asked] == [200] * 60
    kinds = {str(one.headers.get("content-type", "")).split(";")[0] for one in payloads}
    assert kinds == {"", "multipart/form-data", "application/json"}


def test_what_was_found_better_is_rolled_out(house: Serving, images: list[bytes]) -> None:
    """It gets every caller, and no request is lost."""
    quick = ("--steps", "75,100", "--bake", "2s", "--min-requests", "30", "--max-bake", "60s", "--p99-ratio", "10", "--yes")
    dissent = ("--min-agreement", "0")  # it was found to be better: where 1.0 is wrong it should not agree
    with calling(url(house), images) as callers:
        done = roll_out(house, "2.0", *quick, *dissent)
        assert done.code == 0, done.err
        callers.stop()
    assert callers.failed == []
    assert {status for (_, status), _ in callers.statuses.items()} == {200}
    assert "both versions are asked first: what was kept of callers" in done.err
    assert Gateway(State(house.folder / "state")).splits()["digits"].weights == PROMOTED


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


@pytest.fixture(scope="module")
def newer(house: Serving) -> Serving:
    """The house when three more versions have come, each of them wrong in its own way, which no build could tell."""
    built = run_script("build_mar", write_third_digits(house.folder / "spec", house.store), "--store", house.store.folder)
    assert built.code == 0, built.err
    more = "".join(f', "{version}": {{}}' for version in (WORSE, SLOW, CRASHING))
    (house.folder / "deployment.yaml").write_text(DEPLOYMENT.format(more=more))
    places = ("--store", house.store.folder, "--deployment", house.folder / "deployment.yaml")
    applied = run(house, "apply_deployment", *places)
    assert applied.code == 0, applied.err
    return house


def rolled_back(newer: Serving, images: list[bytes], version: str, *arguments: str | Path) -> tuple[str, str, Callers]:
    """Roll a version out while people ask: the sentence and the guardrail by which it is rolled back, and what people felt.

    Whoever was given 2.0 felt nothing; all is as it was before.
    """
    quick = ("--steps", "20,100", "--bake", "4s", "--min-requests", "30", "--max-bake", "200s", "--p99-ratio", "8", "--yes")
    state = State(newer.folder / "state")
    with calling(url(newer), images) as callers:
        done = roll_out(newer, version, *quick, *arguments)
        callers.stop()
    assert done.code == 1, done.err
    gateway = Gateway(state)
    assert {arm: weight for arm, weight in gateway.splits()["digits"].weights.items() if weight} == {"2.0": 100.0}
    assert gateway.deployment().models["digits"].shadow is None
    assert (callers.of("2.0"), callers.failed) == ({200}, [])
    lines = [json.loads(line) for line in Record(state, "digits").lines.read_text().splitlines()]
    told = f"digits: rolled back to 1.0 0 %, 2.0 100 %, {version} 0 %: "
    assert done.out.startswith(told), done.err + done.out
    return done.out.removeprefix(told), lines[-2].get("about", ""), callers


def test_a_worse_version_never_gets_a_caller(newer: Serving, images: list[bytes]) -> None:
    """It is asked what callers sent lately, and answers otherwise."""
    sentence, _, callers = rolled_back(newer, images, WORSE)
    assert sentence.startswith("before the first percent: 3.0 answers ")
    assert callers.of(WORSE) == set()


def test_a_worse_version_that_the_samples_do_not_show_is_rolled_back_by_copies(newer: Serving, images: list[bytes]) -> None:
    """Asked its sample alone, it gets callers; what it makes of copies of their requests takes them away again."""
    sentence, about, _ = rolled_back(newer, images, WORSE, "--replay", SAMPLE, "--shadow", "100", "--bake", "40s")
    assert about == "agreement", sentence
    assert re.match(r"3\.0 answers [\d.]+ % \(\d+ of \d+\) of the copied requests as 2\.0 does, which may be ", sentence)


def test_a_slow_version_is_rolled_back(newer: Serving, images: list[bytes]) -> None:
    """It answers as 2.0 does, and takes too long for some of it."""
    sentence, about, _ = rolled_back(newer, images, SLOW, "--replay", SAMPLE, "--p99-ratio", "2")
    assert (about, sentence.split(":")[0]) == ("p99", "3.1 is slower than 2.0"), sentence


def test_a_crashing_version_is_rolled_back(newer: Serving, images: list[bytes]) -> None:
    """As soon as it has lost a worker."""
    sentence, about, _ = rolled_back(newer, images, CRASHING, "--replay", SAMPLE)
    assert (about, sentence) == ("workers", "3.2 lost 1 of its 1 workers; 2.0 kept its own\n")
