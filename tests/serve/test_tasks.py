"""Each task's model on a real server: a bad row costs its neighbours nothing, and explanations come."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image
from ruamel.yaml import YAML
from scripts_of_ours import run_script
from servers import READY, Serving, serving

from marina import paths
from marina.paths import Store
from marina.serving.free_ports import free_ports
from marina.store.index import find_entry
from marina.store.samples import best_label


@dataclass(frozen=True)
class Task:
    """A model of ours, the sample it is asked, a request that it must refuse, and one to explain where the sample is none."""

    model: str
    sample: str
    bad: bytes
    status: int
    explained: bytes | None = None
    is_right: Callable[[Any, str | None], bool] = lambda answer, label: best_label(answer) == label


def is_embedding(answer: Any, _label: str | None) -> bool:
    """Whether it is MiniLM's of its sample: 384 numbers of length 1, from 12 tokens."""
    return len(answer["embedding"]) == 384 and abs(math.hypot(*answer["embedding"]) - 1) < 1e-4 and answer["tokens"] == 12


TWO_TEXTS = b'{"text": "How do I solve a system of equations?", "other": "Solve a linear matrix equation."}'
TASKS = [
    Task("wine", "wine.json", b'{"data": [1, 2, 3]}', 422),
    Task("docstrings", "docstring.txt", b"\xff\xfe", 422),
    Task("digits_mc", "five.png", b"no image", 422),
    Task("digit_scenes", "sevens.png", b"no image", 422),
    Task("minilm", "question.txt", b"\xff\xfe", 422, TWO_TEXTS, is_embedding),
    Task("digits_predictor", "five.png", b"\x89PNG", 422),
    Task("digit_masks", "canvas.png", b"no image", 422),
]


@pytest.fixture(scope="module")
def tasks_server(specs_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Every version of every task's model, with a delay long enough for batches of eight to form."""
    folder = tmp_path_factory.mktemp("tasks")
    settings = {"batch_size": 8, "max_batch_delay_ms": 300}
    models = {task.model: {"default": "1", "versions": {"1": settings, "2": settings}} for task in TASKS}
    with (folder / "deployment.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump({"models": models}, file)
    with serving(free_ports(), specs_store, folder, "--deployment", folder / "deployment.yaml") as started:
        started.wait_for_output(READY, 900)
        yield started


@pytest.mark.timeout(1000)
@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.model)
def test_one_bad_row_among_eight_costs_nobody_else(tasks_server: Serving, task: Task, version: str) -> None:
    """Seven right 200s and one refusal that says why, from every runtime that the model is built for."""
    sample = _sample(task)
    asked = [sample] * 3 + [task.bad] + [sample] * 4
    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(lambda content: tasks_server.ask(f"/predictions/{task.model}/{version}", content), asked))
    assert [answer.status_code for answer in answers] == [200] * 3 + [task.status] + [200] * 4
    label = find_entry(tasks_server.store, task.model, version).sample.label
    assert all(task.is_right(answer.json(), label) for answer in answers if answer.ok)
    assert answers[3].json()["message"]


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.model)
def test_every_version_explains_itself(tasks_server: Serving, task: Task, version: str) -> None:
    """The same request works on a runtime with gradients and on one without."""
    headers = {"Content-Type": "application/json"} if task.explained else {}
    answer = tasks_server.ask(f"/explanations/{task.model}/{version}", task.explained or _sample(task), **headers)
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


def _sample(task: Task) -> bytes:
    return (Path(paths.SPECS) / task.model / task.sample).read_bytes()
