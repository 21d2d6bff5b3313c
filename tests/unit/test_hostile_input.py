"""Whatever is sent, a worker lives, and the answer is never a fault of ours."""

from __future__ import annotations

import base64
import json
import random
from typing import Any

import pytest
import torch
from pictures import bomb, encoded, plain
from PIL import Image
from workers import Worker, config, image_classifier, traced

KINDS: list[dict[str, str]] = [{}, {"explain": "True"}, {"describe": "True"}]


class Mean(torch.nn.Module):
    """Two classes by brightness."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        mean = images.mean((1, 2, 3))
        return torch.stack([0.5 - mean, mean - 0.5], dim=1)


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Worker:
    folder = traced(tmp_path_factory.mktemp("archive"), Mean(), (1, 4, 4))
    return Worker(image_classifier(), folder, config({"size": [4, 4], "mode": "L"}, ["dark", "light"]))


def hostile(seed: int) -> dict[str, Any]:
    """One row of nonsense."""
    chance = random.Random(seed)  # noqa: S311 - nothing secret
    whole = encoded(Image.effect_noise((60, 40), 90).convert("RGB"), chance.choice(["PNG", "JPEG", "GIF", "BMP", "WEBP"]))
    spoiled = bytearray(whole)
    for _ in range(chance.randint(1, 30)):
        spoiled[chance.randrange(len(spoiled))] = chance.randrange(256)
    document: Any = None
    for _ in range(chance.randint(0, 40)):
        document = chance.choice([[document], {"data": document}, {"instances": [document, document]}, {"inputs": [document]}])
    return chance.choice(
        [
            {"body": bytearray(chance.randbytes(chance.randint(0, 3000)))},
            {"body": bytearray(whole[: chance.randrange(len(whole))])},
            {"body": spoiled},
            {"body": document},
            {"body": {"data": base64.b64encode(chance.randbytes(50)).decode()[: chance.randint(0, 60)]}},
            {"body": {"inputs": [{"name": "x", "shape": [10**9, 10**9], "datatype": "FP32", "data": []}]}},
            {"body": {"instances": [{"b64": chance.choice([None, 1, "x", {}])}]}},
            {chance.choice("abcd"): chance.randbytes(9), "other": "text"},
            {"data": whole, "target": chance.randbytes(5), "top_k": chance.choice([b"-1", b"nan", b"1e9"])},
            {},
        ]
    )


@pytest.mark.parametrize("batch", range(40))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_nonsense_is_refused_and_neighbours_are_answered(worker: Worker, batch: int) -> None:
    """Random bytes, truncated and spoiled images, wild JSON, in mixed batches of eight with one good row."""
    good = {"body": plain("L", (5, 5), 255)}
    rows = [hostile(batch * 10 + number) for number in range(7)]
    headers = [random.Random(batch * 10 + number).choice(KINDS) for number in range(7)]  # noqa: S311
    answers = worker.ask(*rows, good, headers=[*headers, {}])
    assert answers[-1].body[0]["label"] == "light"
    assert all(answer.status < 500 for answer in answers), [(row, one.body) for row, one in zip(rows, answers, strict=False)]


def test_a_row_is_answered_as_if_it_had_come_alone(worker: Worker) -> None:
    """Two hundred rows in random mixtures: status and body are those of the same row by itself."""
    chance = random.Random(7)  # noqa: S311
    rows = [(hostile(seed), chance.choice(KINDS)) for seed in range(150)]
    rows += [({"body": plain("L", (5, 5), shade)}, chance.choice(KINDS)) for shade in range(0, 250, 5)]
    chance.shuffle(rows)
    for start in range(0, len(rows), 8):
        part = rows[start : start + 8]
        together = worker.ask(*(row for row, _ in part), headers=[header for _, header in part])
        for (row, header), answer in zip(part, together, strict=True):
            alone = worker.ask(row, headers=[header])[0]
            assert alone.status == answer.status
            if answer.status == 200 and isinstance(answer.body, list):
                assert alone.body == answer.body


def test_a_decompression_bomb_costs_nothing(worker: Worker) -> None:
    """Four hundred megapixels in fifty kilobytes: refused by what the header says."""
    assert len(bomb()) < 100_000
    answer = worker.ask({"body": bomb()})[0]
    assert answer.status == 413
    assert "the limit is 50 megapixels" in answer.body["message"]


def test_deep_json_reaches_no_stack(worker: Worker) -> None:
    """TorchServe's own reader gives up on a hundred thousand brackets and hands on the bytes, which are no image."""
    text = b'{"data":' * 100_000 + b"1" + b"}" * 100_000
    with pytest.raises(RecursionError):
        json.loads(text)
    assert worker.ask({"body": bytearray(text)})[0].status == 422
