"""Every cell of the table of docs/tasks.md, on a real server: what it refuses, what it answers, and how alike that is."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import requests
from bad_rows import Bad, bad_rows
from differences import Figure, difference
from handlerkit.runtimes import RUNTIMES
from scripts_of_ours import run_script
from served_cells import BATCH, BUILD_SECONDS, Asked, Served
from task_table import NETWORKS, REFUSED, TRACE, Network

from marina.store.samples import best_label

ACCURACY = 0.005  # of hundreds of held-out requests one or two
HALF = BATCH // 2
PLACE = 3  # of the bad row among eight
NETWORK = pytest.mark.parametrize("served", NETWORKS, indirect=True, ids=str)
RUNTIME = pytest.mark.parametrize("runtime", RUNTIMES)  # conftest.py leaves out those that are refused
pytestmark = pytest.mark.timeout(2 * BUILD_SECONDS)


@pytest.mark.parametrize(("network", "cell"), REFUSED, ids=str)
def test_a_runtime_that_cannot_hold_a_network_is_refused(network: Network, cell: str, tmp_path: Path) -> None:
    """By the build, in one line, with the reason."""
    spec = network.copy_spec(tmp_path / network.model, [cell])
    done = run_script("build_mar", spec, "--store", tmp_path / "store", "--random-weights")
    assert done.code in (1, 2)
    assert network.refused[cell] in done.error
    assert ("torchscript" if cell == TRACE else cell) in done.error


@RUNTIME
@NETWORK
def test_one_bad_row_of_each_kind_costs_nobody_else(served: Served, runtime: str) -> None:
    """Seven right 200s, as right as the sample alone, and one refusal with its status and its sentence."""
    sample = served.network.sample
    alone = served.alone(runtime, sample)
    assert alone.status_code == 200, alone.text
    assert served.network.random or best_label(alone.json()) == served.network.label
    kinds = bad_rows(served.network, runtime)
    wrong: dict[str, Any] = {}
    for bad in kinds:
        rows: list[Asked] = [(sample, {})] * PLACE + [(bad.content, bad.headers)] + [(sample, {})] * (BATCH - 1 - PLACE)
        answers = served.batch(runtime, rows)
        wrong |= refused_otherwise(bad, answers.pop(PLACE))
        wrong |= {f"beside {bad.name}": shown(one) for one in answers if not is_same(served, one, alone.json())}
    assert not wrong


@RUNTIME
@NETWORK
def test_bad_rows_of_many_kinds_share_a_batch(served: Served, runtime: str) -> None:
    """Four rows are bad, each of another kind, and the good ones differ: each is answered as without the others."""
    good = itertools.cycle(zip(served.asked, served.answers(runtime), strict=True))
    kinds = bad_rows(served.network, runtime)
    wrong: dict[str, Any] = {}
    for start in range(0, len(kinds), HALF):
        bad = list(itertools.islice(itertools.cycle(kinds[start : start + HALF]), HALF))
        fine = list(itertools.islice(good, HALF))
        replies = served.batch(runtime, [*((one.content, one.headers) for one in bad), *((content, {}) for content, _ in fine)])
        for one, reply in zip(bad, replies[:HALF], strict=True):
            wrong |= refused_otherwise(one, reply)
        for (_, answer), reply in zip(fine, replies[HALF:], strict=True):
            wrong |= {} if is_same(served, reply, answer) else {f"beside {bad[0].name} and others": shown(reply)}
    assert not wrong


@RUNTIME
@NETWORK
def test_every_cell_explains_itself(served: Served, runtime: str) -> None:
    """The same request works by every runtime."""
    headers = {"Content-Type": "application/json"} if served.network.explained else {}
    answer = served.alone(runtime, served.network.explained or served.network.sample, "explanations", **headers)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["method"]
    assert body.get("attributions") or body.get("tokens")
    if not served.network.random:
        assert body.get("label") == served.network.label


@RUNTIME
@NETWORK
def test_every_runtime_answers_as_the_eager_one(served: Served, runtime: str, measured: dict[tuple[str, str], Figure]) -> None:
    """Outputs of the network, as the build measured them, and answers over HTTP: within the tolerances of the table's line."""
    parity, network = served.entries[runtime].parity, served.network
    assert parity is not None
    assert served.entries[runtime].weights == served.entries["eager"].weights
    accuracies = [entry.accuracy.value for entry in (served.entries[runtime], served.entries["eager"]) if entry.accuracy]
    assert max(accuracies, default=0) - min(accuracies, default=0) <= ACCURACY
    pairs = zip(served.answers(runtime), served.answers("eager"), strict=True)
    answers = None if runtime == "eager" else max(difference(*pair) for pair in pairs)
    measured[str(network), runtime] = figure = Figure(parity.largest_difference, answers)
    assert parity.largest_difference <= network.spec.tolerance
    assert answers is None or answers <= network.answers, figure


@RUNTIME
@NETWORK
def test_what_was_sent_together_was_one_batch(served: Served, runtime: str) -> None:
    """Else the tests above show nothing: the worker has counted as many batches as were sent, and one that tried its sample."""
    assert served.batches(runtime) == 1 + served.sent[runtime]


def is_same(served: Served, reply: requests.Response, answer: Any) -> bool:
    return reply.status_code == 200 and difference(reply.json(), answer) <= served.network.answers


def refused_otherwise(bad: Bad, reply: requests.Response) -> dict[str, Any]:
    """What came where a bad row was not refused as it must be."""
    try:
        body = reply.json()
    except json.JSONDecodeError:
        return {bad.name: shown(reply)}
    as_wanted = reply.status_code == bad.status and isinstance(body, dict) and bad.message in body.get("message", "")
    return {} if as_wanted and body["code"] == bad.status else {bad.name: shown(reply)}


def shown(reply: requests.Response) -> tuple[int, str]:
    return reply.status_code, reply.text[:200]
