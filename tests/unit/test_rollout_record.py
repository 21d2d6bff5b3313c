"""Where a rollout stands is remembered, by one process at a time; and what a candidate's replay says of it."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from marina.comparing.carrying import counts_of
from marina.comparing.guardrails import Bounds, Counts
from marina.comparing.replay import Asked, Replay
from marina.comparing.rollout import Record, Rollout, open_rollouts
from marina.comparing.split import Shadow, Split
from marina.errors import MarinaError
from marina.gateway.gateway import ArmStats
from marina.paths import State
from marina.serving.inference import Answer


def rollout(**changes: object) -> Rollout:
    plain = {
        "model": "m",
        "candidate": "2",
        "current": "1",
        "steps": [10.0, 100.0],
        "bake_seconds": 1.0,
        "max_bake_seconds": 2.0,
        "min_requests": 10,
        "bounds": Bounds(),
        "before": Split(weights={"1": 100}),
        "file_weights": {"1": 100.0},
        "began": datetime.now(UTC),
    }
    return Rollout.model_validate(plain | changes)


def test_what_is_remembered_is_read_again(tmp_path: Path) -> None:
    """With its counts, whose last bound is infinite."""
    compared = Counts(requests=3, errors=1, buckets={0.1: 2, math.inf: 3})
    record, remembered = Record(State(tmp_path), "m"), rollout(position=0, compared=compared)
    record.write(remembered)
    assert record.read() == remembered
    assert str(remembered) == "m: rollout of 2, running at 10 %"


def test_copies_are_made_while_there_is_something_to_compare_them_with() -> None:
    """Not at 100 %, where they would only double the load; and only where the rollout asks for them."""
    asked = rollout(shadow=Shadow(version="2", percent=20))
    assert [asked.model_copy(update={"position": position}).is_copied for position in (0, 1)] == [True, False]
    assert not rollout(position=0).is_copied


def test_what_happened_is_kept_line_by_line(tmp_path: Path) -> None:
    """Each with its time, the weights, and a sentence."""
    record = Record(State(tmp_path), "m")
    record.write(rollout())
    for position in (0, 1):
        record.note(rollout(position=position), "step", "on")
    lines = [json.loads(line) for line in record.lines.read_text().splitlines()]
    assert [(line["event"], line["percent"], line["weights"]) for line in lines] == [
        ("step", 10.0, {"1": 90.0, "2": 10.0}),
        ("step", 100.0, {"1": 0.0, "2": 100.0}),
    ]


def test_a_corrupt_record_is_one_line(tmp_path: Path) -> None:
    """Nothing is guessed of where callers are."""
    record = Record(State(tmp_path), "m")
    record.write(rollout())
    record.file.write_text(record.file.read_text().replace('"running"', '"runing"'))
    with pytest.raises(MarinaError, match=re.escape(f"{record.file}: is not what was written there: status: Input should be")):
        record.read()


def test_one_process_carries_a_rollout_on(tmp_path: Path) -> None:
    """The second is told which, and what can be done."""
    record = Record(State(tmp_path), "m")
    record.write(rollout())
    with record.carried_on():
        assert record.is_carried_on
        with (
            pytest.raises(MarinaError, match=r"another process carries it on: wait, or scripts/roll_out\.py m --pause"),
            record.carried_on(),
        ):
            pass
    assert not record.is_carried_on


def test_open_rollouts_say_what_can_be_done(tmp_path: Path) -> None:
    """Those that have ended are none."""
    state = State(tmp_path)
    assert open_rollouts(state) == {}
    Record(state, "m").write(rollout(status="paused", position=0))
    Record(state, "n").write(rollout(model="n", status="done"))
    assert open_rollouts(state) == {
        "m": "m: rollout of 2, paused at 10 %: scripts/roll_out.py m --resume, or scripts/roll_back.py m"
    }


def test_an_arm_that_is_not_registered_fails() -> None:
    """As 5xx do, also where another arm answered; what was a caller's mistake is no failure."""
    found = counts_of(ArmStats(10, {200: 4, 404: 2, 422: 1, 503: 3}, {5.0: 4, 50.0: 10}))
    assert found == Counts(requests=10, errors=5, buckets={0.005: 4, 0.05: 10, math.inf: 10})
    assert counts_of(None) == Counts()


def answer(label: str | None = "a", seconds: float = 0.01, status: int = 200) -> Answer:
    body = [{"label": label, "probability": 1.0}] if label else {"boxes": []}
    return Answer(status, "1", body if status == 200 else None, None if status == 200 else "no", seconds)


def trouble(*pairs: tuple[Answer, Answer]) -> str | None:
    asked = [Asked(f"{number}.png", *pair) for number, pair in enumerate(pairs)]
    return Replay("2", "1", asked).trouble(0.9, 1.5)


def test_a_candidate_must_answer_what_the_current_arm_answers() -> None:
    """What both refuse is no reason."""
    assert trouble((answer(status=500), answer())) == "2 does not answer 0.png: 500: no; 1 does"
    assert trouble((answer(status=422), answer(status=422))) is None


def test_a_candidate_must_agree() -> None:
    """As far as answers have labels."""
    alike, other = (answer(), answer()), (answer("b"), answer())
    assert trouble(*[alike] * 18, *[other] * 2) is None
    found = trouble(*[alike] * 8, *[other] * 2)
    assert found == "2 answers 80.0 % of 10 as 1 does, required 90 %; for example 8.png: 'b', 'a'"
    assert trouble((answer(None), answer(None))) is None


def test_a_candidate_must_not_be_clearly_slower() -> None:
    """In more than half of the pairs, told by the sign test; a few slow answers are chance."""
    slow, usual = (answer(seconds=0.05), answer()), (answer(), answer())
    assert trouble(*[slow] * 19, usual) == "2 took more than 1.5 times as long as 1 for 19 of 20"
    assert trouble(*[slow] * 12, *[usual] * 8) is None
