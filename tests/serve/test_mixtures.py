"""Whatever shares a batch, each request is answered as if it had come alone, by a real server.

``SLOW=1``, as make slow has it, asks two hundred mixtures in place of fifty.
"""

from __future__ import annotations

import base64
import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import requests
from handlerkit.testing import alike
from metrics_api import of_version, settled
from pictures import plain
from servers import Serving

BATCH = 8
MIXTURES = 200 if os.environ.get("SLOW") == "1" else 50
CALLERS = 3 * BATCH  # one batch is answered while the next ones fill
PREDICT, EXPLAIN = "/predictions/digits/2.0", "/explanations/digits/2.0"
DESCRIBE = "/models/digits/2.0?customized=true"

Send = Callable[[], requests.Response]
Answer = tuple[int, str | None, Any]


def requests_to_mix(server: Serving, seven: bytes) -> dict[str, Send]:
    """Predictions, explanations, descriptions, and what must be refused, by name and in every form.

    Explanations by the one method that is never cut to a budget of time, so that they are the same on a busy machine.
    """

    def post(path: str, **sent: Any) -> Send:
        return lambda: requests.post(server.url(path), timeout=120, **sent)

    text = base64.b64encode(seven).decode()
    kserve = {"inputs": [{"name": "image", "shape": [2], "datatype": "BYTES", "data": [text, text]}]}
    return {
        "predict seven": post(PREDICT, data=seven),
        "predict black": post(PREDICT, data=plain("L", (9, 9), 0)),
        "predict by a form": post(PREDICT, files={"data": seven, "top_k": (None, "1")}),
        "predict by JSON": post(PREDICT, json={"data": text, "top_k": 2}),
        "predict by KServe 1": post(PREDICT, json={"instances": [{"b64": text}, {"data": text, "top_k": 1}]}),
        "predict by KServe 2": post(PREDICT, json=kserve),
        "explain seven": post(EXPLAIN, files={"data": seven, "method": (None, "saliency")}),
        "explain three": post(EXPLAIN, json={"data": text, "target": "3", "method": "saliency"}),
        "explain by KServe 1": post(EXPLAIN, json={"instances": [{"b64": text, "method": "saliency"}]}),
        "describe": lambda: requests.get(server.url(DESCRIBE, "management"), timeout=120),
        "no image": post(PREDICT, data=b"no image"),
        "no image to explain": post(EXPLAIN, data=seven[:50]),
        "nothing": post(PREDICT, data=b""),
        "no such class": post(EXPLAIN, json={"data": text, "target": "eleven"}),
        "no such top_k": post(PREDICT, json={"data": text, "top_k": 0}),
        "one bad instance": post(PREDICT, json={"instances": [{"b64": text}, {"b64": "AAAA"}]}),
        "text": post(PREDICT, data="seven", headers={"Content-Type": "text/plain"}),
    }


@pytest.mark.timeout(600)
def test_mixtures_are_answered_as_each_request_alone(server: Serving, seven: bytes) -> None:
    """Random requests from many callers at once, in that many batches and more: each answer is the one it gets alone."""
    asked = requests_to_mix(server, seven)
    alone = {name: read(send()) for name, send in asked.items()}
    refused = {name for name, (status, _, _) in alone.items() if status >= 400}
    assert refused == set(list(asked)[-7:])
    assert max(status for status, _, _ in alone.values()) < 500

    batches, rows = (settled(partial(of_version, server, f"marina_batch_rows_{part}", "2.0")) for part in ("count", "sum"))
    often = [1 if name.startswith(("explain", "describe")) else 4 for name in asked]  # one of these takes as long as a batch
    names = random.Random(8).choices(list(asked), often, k=MIXTURES * BATCH)  # noqa: S311 - nothing secret
    with ThreadPoolExecutor(CALLERS) as callers:
        answers = list(callers.map(lambda name: read(asked[name]()), names))
    wrong = {name: answer for name, answer in zip(names, answers, strict=True) if not alike([*answer], [*alone[name]])}
    assert not wrong, {name: (answer, alone[name]) for name, answer in wrong.items()}

    batches = settled(partial(of_version, server, "marina_batch_rows_count", "2.0")) - batches
    rows = of_version(server, "marina_batch_rows_sum", "2.0") - rows
    assert batches >= MIXTURES
    assert rows / batches > BATCH / 2, "hardly any batches formed: nothing was shown"


def test_descriptions_share_no_batch(server: Serving, seven: bytes) -> None:
    """TorchServe asks a worker for its description by itself, also while predictions wait: each is a batch of one row."""
    asked = requests_to_mix(server, seven)
    batches, rows = (settled(partial(of_version, server, f"marina_batch_rows_{part}", "2.0")) for part in ("count", "sum"))
    with ThreadPoolExecutor(BATCH) as callers:
        answers = list(callers.map(lambda name: asked[name](), ["describe"] * BATCH))
    assert [answer.status_code for answer in answers] == [200] * BATCH
    assert settled(partial(of_version, server, "marina_batch_rows_count", "2.0")) - batches == BATCH
    assert of_version(server, "marina_batch_rows_sum", "2.0") - rows == BATCH


def read(answer: requests.Response) -> Answer:
    """What must not depend on the others: status, version and body; of a description, what the worker says."""
    body = answer.json()
    described = body[0].get("customizedMetadata") if answer.ok and isinstance(body, list) else None
    return answer.status_code, answer.headers.get("X-Model-Version"), described or body
