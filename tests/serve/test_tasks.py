"""Each task's model as it is shipped, on a real server; tests/cells has every runtime and every kind of bad row."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import requests
from bad_rows import bad_rows
from differences import difference
from PIL import Image
from ruamel.yaml import YAML
from scripts_of_ours import run_script
from servers import READY, Serving, serving
from task_table import NETWORKS, Network

from marina import paths
from marina.paths import Store
from marina.serving.free_ports import free_ports
from marina.store.index import find_entry
from marina.store.samples import best_label

# digits has tests of its own, and torchvision's networks have no weights here
TASKS = {network.model: network for network in NETWORKS if network.model != "digits" and not network.random}
EACH_TASK = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)


@pytest.fixture(scope="module")
def tasks_server(specs_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Every version of every task's model, with a delay long enough for batches of eight to form."""
    folder = tmp_path_factory.mktemp("tasks")
    settings = {"batch_size": 8, "max_batch_delay_ms": 300}
    models = {task: {"default": "1", "versions": {"1": settings, "2": settings}} for task in TASKS}
    with (folder / "deployment.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump({"models": models}, file)
    with serving(free_ports(), specs_store, folder, "--deployment", folder / "deployment.yaml") as started:
        started.wait_for_output(READY, 900)
        yield started


@pytest.mark.timeout(1000)
@pytest.mark.parametrize("version", ["1", "2"])
@EACH_TASK
def test_one_bad_row_among_eight_costs_nobody_else(tasks_server: Serving, task: Network, version: str) -> None:
    """Seven right 200s and one refusal that says why, from every runtime that the model is built for."""
    bad = bad_rows(task)[0]
    asked = [task.sample] * 3 + [bad.content] + [task.sample] * 4
    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(lambda content: tasks_server.ask(f"/predictions/{task.model}/{version}", content), asked))
    assert [answer.status_code for answer in answers] == [200] * 3 + [bad.status] + [200] * 4
    label = find_entry(tasks_server.store, task.model, version).sample.label
    right = [answer.json() for answer in answers if answer.ok]
    assert {best_label(one) for one in right} == {label}
    assert max(difference(one, right[0]) for one in right) <= task.answers
    assert bad.message in answers[3].json()["message"]


@pytest.mark.parametrize("version", ["1", "2"])
@EACH_TASK
def test_every_version_explains_itself(tasks_server: Serving, task: Network, version: str) -> None:
    """The same request works on a runtime with gradients and on one without."""
    headers = {"Content-Type": "application/json"} if task.explained else {}
    answer = tasks_server.ask(f"/explanations/{task.model}/{version}", task.explained or task.sample, **headers)
    assert answer.status_code == 200, answer.text
    assert answer.json()["method"]
    assert answer.json().get("label") == find_entry(tasks_server.store, task.model, version).sample.label


@pytest.mark.parametrize(
    ("model", "source", "printed"),
    [
        ("wine", "wine.json", r"version 1: .* feature_ablation\n  [+-]\d\.\d+  \w+\n"),
        ("docstrings", "docstring.txt", r"version 1: sklearn \d+\.\d%, feature_ablation\n  [+-]\d\.\d+  \w+\n"),
    ],
)
def test_explanations_of_every_kind_can_be_read(tasks_server: Serving, model: str, source: str, printed: str) -> None:
    """query_model.py --explain lists the strongest features, or tokens, where there is no picture to draw."""
    path = paths.SPECS / model / source
    done = run_script("query_model", model, path, "--explain", environment=tasks_server.environment)
    assert done.code == 0, done.err
    assert re.search(printed, done.out), done.out


def test_numbers_are_answered_in_kserves_envelope(tasks_server: Serving) -> None:
    """Protocol v2 with FP32 data: two rows of a table, two answers."""
    row = YAML(typ="safe", pure=True).load((paths.SPECS / "wine" / "wine.json").read_bytes())["data"]
    document = {"inputs": [{"name": "measurements", "shape": [2, len(row)], "datatype": "FP32", "data": [*row, *row]}]}
    answer = requests.post(tasks_server.url("/v2/models/wine/infer"), json=document, timeout=30)
    assert answer.status_code == 200, answer.text
    assert answer.json()["outputs"][0]["shape"] == [2]


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_mask_comes_as_a_picture(tasks_server: Serving, version: str) -> None:
    """With Accept: image/png the reply is the PNG itself, and its pixels are those of the run-length answer."""
    path, sample = f"/predictions/digit_masks/{version}", (paths.SPECS / "digit_masks" / "canvas.png").read_bytes()
    picture, answer = tasks_server.ask(path, sample, Accept="image/png"), tasks_server.ask(path, sample).json()
    assert picture.headers["content-type"] == "image/png"
    mask = np.repeat(answer["mask"]["values"], answer["mask"]["lengths"]).reshape(answer["size"][::-1])
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(picture.content))), mask)
