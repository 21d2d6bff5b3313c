"""judge_ab.py on a traffic record: what it says, sentence by sentence, and what it says of mistakes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from documents import commands
from experiments import HALVES, Draw, binary, constant, experiment, normal
from scripts_of_ours import Ended, call_script

from marina.comparing.judging import Asked, Judgement, judge_experiment
from marina.comparing.traffic import Traffic
from marina.comparing.traffic_rows import Observations, Outcome, Request, SplitChange
from marina.comparing.verdict import Margin, Question, judge
from marina.comparing.wording import notes, sentence, summary
from marina.errors import MarinaError, UsageError
from marina.paths import ROOT, State

BEGAN = 1_790_000_000.0
HALF = {"1.0": 50.0, "2.0": 50.0}
DEPLOYED = """
models:
  digits:
    default: "1.0"
    versions: {"1.0": {}, "2.0": {}}
    objectives: {p99_ms: 40}
"""

Judge = Callable[..., Ended]


def requests_of(
    number: int, weights: dict[str, float], seed: int = 1, keys: int = 600, **of_arm: dict[str, float]
) -> tuple[list[Request], list[Outcome]]:
    """Requests, one in ten seconds, each with the outcome ``correct``; errors and accuracy as given by arm."""
    random = np.random.default_rng(seed)
    arms = list(weights)
    arm_of = random.choice(arms, size=keys, p=[weights[arm] / 100 for arm in arms])
    errors, accuracy = of_arm.get("errors", {}), of_arm.get("accuracy", {})
    rows, outcomes = [], []
    for place, key in enumerate(random.integers(keys, size=number)):
        arm, time = str(arm_of[key]), BEGAN + 10.0 * place
        status = 500 if random.random() < errors.get(arm, 0.0) else 200
        seconds = 0.02 + 0.01 * float(random.random())
        rows.append(
            Request(
                f"r{seed}-{place}",
                time,
                "digits",
                "predictions",
                status,
                "digits",
                f"k{key}",
                "header",
                arm,
                arm,
                status,
                seconds,
                1,
            )
        )
        right = float(random.random() < accuracy.get(arm, 0.9))
        outcomes.append(Outcome(f"o{seed}-{place}", "correct", right, time + 60, request_id=f"r{seed}-{place}"))
    return rows, outcomes


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> State:
    """A day of two versions: 2.0 is right more often and has no error, latencies are the same."""
    state = State(tmp_path_factory.mktemp("recorded"))
    rows, outcomes = requests_of(8000, HALF, accuracy={"1.0": 0.90, "2.0": 0.97})
    with Traffic(state, create=True) as traffic:
        traffic.add_split("digits", "digits", HALF, at=BEGAN)
        traffic.add_requests(rows)
        traffic.add_outcomes(outcomes)
    return state


@pytest.fixture
def ask(recorded: State, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Judge:
    """judge_ab.py on that record, with a deployment."""
    deployment = tmp_path / "deployment.yaml"
    deployment.write_text(DEPLOYED)

    def asked(*arguments: object, state: State = recorded) -> Ended:
        given = [argument if isinstance(argument, Path) else str(argument) for argument in arguments]
        try:
            return call_script(capsys, "judge_ab", *given, "--state", state.folder, "--deployment", deployment)
        except SystemExit as ended:  # as argparse does
            printed = capsys.readouterr()
            return Ended(int(str(ended.code)), printed.out, printed.err)

    return asked


def test_a_version_that_is_better_is_said_to_be(ask: Judge) -> None:
    """The first line sums up, a sentence for each metric follows, then how the keys were shared."""
    done = ask("digits", "--margin", "5%", "--margin", "error=0.02", "--margin", "slow=0.02")
    assert done.code == 0, done.err
    first, _, correct, error, latency, slow, *rest = done.out.splitlines()
    assert first == "digits, experiment digits: 2.0 against 1.0: better in correct, no different in error, latency_seconds, slow."
    assert correct.startswith("correct: 2.0 is better than 1.0: 97.")
    assert " points (+" in correct
    assert error.startswith("error: no difference that matters between 2.0 and 1.0: 0.00% against 0.00%, +0.00 points (-")
    assert error.endswith("within the margin of 2.00 points.")
    assert latency.startswith(
        "latency_seconds: no difference that matters between 2.0 and 1.0: 24.99 ms against 24.97 ms, +0.0188 ms ("
    )
    assert slow.startswith("slow: no difference that matters")
    assert any(line.startswith("1.0") and "50.00%" in line for line in rest)
    assert "Arms on one machine share its cores" in done.out


def test_the_document_shows_what_it_prints(ask: Judge) -> None:
    """docs/verdict.md, command by command."""
    (command,) = commands(ROOT / "docs" / "verdict.md")
    program, script, *arguments = command.line.split()
    assert (program, script) == ("python", "scripts/judge_ab.py")
    printed = ask(*arguments).out
    assert command.printed(printed), printed


def test_programs_read_the_same_as_json(ask: Judge) -> None:
    """Numbers in the metric's unit, the sentence, and the difference over time."""
    done = ask("digits", "--metric", "correct", "--json")
    (verdict,) = json.loads(done.out)["verdicts"]
    assert (verdict["metric"], verdict["arm"], verdict["control"], verdict["verdict"]) == ("correct", "2.0", "1.0", "better")
    assert verdict["difference"]["low"] > 0
    assert verdict["means"]["2.0"] - verdict["means"]["1.0"] == pytest.approx(verdict["difference"]["value"])
    assert sum(verdict["requests"].values()) == 8000
    assert verdict["sample_ratio"]["right"]
    assert len(verdict["over_time"]) == 40
    assert verdict["over_time"][-1]["low"] == verdict["difference"]["low"]


def test_more_questions_are_each_answered_more_carefully(ask: Judge) -> None:
    """One metric alone has a narrower interval than among four; all together are wrong as seldom."""
    alone = json.loads(ask("digits", "--metric", "correct", "--json").out)["verdicts"][0]
    among = next(one for one in json.loads(ask("digits", "--json").out)["verdicts"] if one["metric"] == "correct")
    assert (alone["alpha"], among["alpha"]) == (0.05, 0.0125)
    assert alone["difference"]["low"] > among["difference"]["low"]


def test_times_choose_the_requests(ask: Judge) -> None:
    """From --since to before --until, UTC where no zone is said."""
    done = ask("digits", "--metric", "correct", "--json", "--since", "2026-09-21T16:30", "--until", "2026-09-21T18:30+01:00")
    assert sum(json.loads(done.out)["verdicts"][0]["requests"].values()) == 360


def test_the_control_is_the_deployments_default_or_as_given(ask: Judge) -> None:
    """Seen from the other arm, better is worse."""
    assert "correct: 1.0 is worse than 2.0" in ask("digits", "--control", "2.0").out


def test_an_outcome_of_which_less_is_better(ask: Judge) -> None:
    """--lower-is-better turns better into worse."""
    assert "correct: 2.0 is worse than 1.0" in ask("digits", "--lower-is-better", "correct").out


def test_lost_keys_end_with_exit_code_one(ask: Judge, tmp_path: Path) -> None:
    """Where an arm's outcomes are lost, no verdict is given on it."""
    state = State(tmp_path / "lost")
    rows, outcomes = requests_of(8000, HALF, keys=8000)
    arm = {row.request_id: row.assigned for row in rows}
    key = {row.request_id: row.key or "" for row in rows}
    kept = [one for one in outcomes if arm[one.request_id or ""] == "1.0" or not key[one.request_id or ""].endswith(("1", "2"))]
    with Traffic(state, create=True) as traffic:
        traffic.add_split("digits", "digits", HALF, at=BEGAN)
        traffic.add_requests(rows)
        traffic.add_outcomes(kept)
    done = ask("digits", "--margin", "5%", state=state)
    assert done.code == 1
    assert "correct: no verdict on 2.0 against 1.0: of the " in done.out
    assert "where the split gives 1.0 50.0%, 2.0 50.0%, which is no chance" in done.out
    assert "latency_seconds: no difference that matters" in done.out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["digit"], 2, "has no model 'digit': did you mean 'digits'? Otherwise name the control: --control VERSION"),
        (
            ["wine", "--control", "1.0"],
            2,
            "wine: the record has no requests of an experiment with it; models with requests: digits",
        ),
        (["digits", "--experiment", "digit"], 2, "digits: no experiment 'digit' is in the record: did you mean 'digits'?"),
        (
            ["digits", "--metric", "corect"],
            2,
            "digits: the record has no metric 'corect' in experiment digits: did you mean 'correct'?",
        ),
        (["digits", "--margin", "corect=1"], 2, "no metric 'corect' in experiment digits: did you mean 'correct'?"),
        (["digits", "--lower-is-better", "corect"], 2, "no metric 'corect' in experiment digits: did you mean 'correct'?"),
        (
            ["digits", "--control", "3.0"],
            2,
            "the control must be an arm of experiment digits: 1.0, 2.0; found 3.0: give --control",
        ),
        (["digits", "--since", "2030-01-01"], 1, "digits: the record has no request of experiment digits at that time"),
        (
            ["digits", "--metric", "correct", "--since", "2030-01-01"],
            1,
            "correct: the record has no value of it in experiment digits",
        ),
        (["digits", "--since", "2026-01-02", "--until", "2026-01-01"], 2, "--since must be before --until"),
        (
            ["digits", "--since", "yesterday"],
            2,
            "required a time as 2026-11-21T08:00 or 2026-11-21T08:00+01:00; found 'yesterday'",
        ),
        (["digits", "--alpha", "0"], 2, "required a probability above 0, at most 0.5; found '0'"),
        (["digits", "--alpha", "five"], 2, "required a probability above 0, at most 0.5; found 'five'"),
        (["digits", "--margin", "-1"], 2, "required a number or a percentage above 0, as 0.01, 5% or error=0.01; found '-1'"),
        (["digits", "--margin", "inf"], 2, "required a number or a percentage above 0, as 0.01, 5% or error=0.01; found 'inf'"),
        (["digits", "--slower-than", "0"], 2, "required a number of seconds above 0; found '0'"),
    ],
)
def test_a_mistake_is_told_in_one_line(ask: Judge, arguments: list[str], code: int, message: str) -> None:
    """What was required, what was found, what to do."""
    done = ask(*arguments)
    assert done.code == code, done.out
    assert message in " ".join(done.err.split())


def test_without_a_record_nothing_is_judged(ask: Judge, tmp_path: Path) -> None:
    """Nobody has asked anything yet."""
    done = ask("digits", state=State(tmp_path / "none"))
    assert done.code == 1
    assert "no traffic has been recorded yet" in done.error


def judged(tmp_path: Path, rows: list[Request], outcomes: list[Outcome] | None = None, **asked: Any) -> Judgement:
    """The judgement on a record of these rows, without a split in it."""
    with Traffic(State(tmp_path / "state"), create=True) as traffic:
        traffic.add_requests(rows)
        traffic.add_outcomes(outcomes or [])
        return judge_experiment(traffic, Asked("digits", "1.0", **asked))


def test_one_arm_alone_cannot_be_compared(tmp_path: Path) -> None:
    """Two are required."""
    rows, _ = requests_of(10, {"1.0": 100.0})
    with pytest.raises(MarinaError, match=r"two arms are required; all requests of experiment digits were assigned to 1\.0"):
        judged(tmp_path, rows)


def test_what_is_slow_must_be_said(tmp_path: Path) -> None:
    """Without an objective the metric slow means nothing."""
    rows, _ = requests_of(200, HALF)
    with pytest.raises(
        UsageError, match="no metric 'slow' in experiment digits; slow needs an objective p99_ms or --slower-than"
    ):
        judged(tmp_path, rows, metrics=["slow"])


def test_without_outcomes_errors_and_latencies_are_judged(tmp_path: Path) -> None:
    """They need nobody's report; that there is no split to count keys against is said."""
    rows, _ = requests_of(400, HALF, errors={"2.0": 0.5})
    judgement = judged(tmp_path, rows)
    assert [one.question.metric for one in judgement.verdicts] == ["error", "latency_seconds"]
    assert judgement.verdicts[0].state == "worse"
    assert notes(judgement)[-1] == "The record has no split for these requests, so that keys could not be counted against it."


def test_values_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    """How many, and of which metric."""
    rows, outcomes = requests_of(200, HALF)
    wrong = [replace(outcomes[0], value=float("inf")), *outcomes[1:]]
    with pytest.raises(MarinaError, match="correct: 1 of 200 values are not finite numbers: report those outcomes again"):
        judged(tmp_path, rows, wrong)


def test_outcomes_that_come_late_belong_to_their_request(tmp_path: Path) -> None:
    """A split that changed in between does not move them to another period."""
    rows, outcomes = requests_of(2000, HALF)
    late = [replace(one, time=one.time + 1e6) for one in outcomes]
    with Traffic(State(tmp_path), create=True) as traffic:
        traffic.add_split("digits", "digits", HALF, at=BEGAN)
        traffic.add_requests(rows)
        traffic.add_outcomes(late)
        traffic.add_split("digits", "digits", {"1.0": 0.0, "2.0": 100.0}, at=BEGAN + 500_000)
        verdict = judge_experiment(traffic, Asked("digits", "1.0", metrics=["correct"])).verdicts[0]
    assert sum(verdict.evidence.requests) == 2000
    assert verdict.ratio.right


def test_each_of_three_arms_has_a_verdict(tmp_path: Path) -> None:
    """Both others against the control, and in the summary."""
    thirds = {"1.0": 40.0, "2.0": 30.0, "3.0": 30.0}
    rows, outcomes = requests_of(4000, thirds, accuracy={"1.0": 0.8, "2.0": 0.99, "3.0": 0.5})
    judgement = judged(tmp_path, rows, outcomes, metrics=["correct"])
    assert summary(judgement) == "2.0 against 1.0: better in correct; 3.0 against 1.0: worse in correct."


def said(draw: Draw, requests: int = 4000, *, keys: int | None = None, metric: str = "score", **question: Any) -> str:
    """The sentence on data of this kind."""
    return sentence(judge(Question(metric, "2.0", "1.0", **question), experiment(requests, draw, keys), HALVES))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (
            lambda: said(normal(0.4)),
            "score: 2.0 is better than 1.0: 10.37 against 10, +0.364 (+0.268 to +0.459), +3.6% (+2.7% to +4.6%).",
        ),
        (lambda: said(binary(0.9, 0.6)), "score: 2.0 is worse than 1.0: 59.65% against 88.72%, -29.06 points (-33.03 to -25.09)"),
        (lambda: said(normal(), margin=Margin(0.5)), "within the margin of 0.5."),
        (lambda: said(normal(0.05)), "About 3 days more at this traffic, if that is the difference."),
        (lambda: said(normal(0.0001), margin=Margin(0.1)), " more at this traffic, if that is the difference."),
        (
            lambda: said(binary(0, 0), margin=Margin(0.05, relative=True)),
            "The margin is a part of the control's mean, which is 0: give it in the metric's unit.",
        ),
        (
            lambda: said(binary(0, 0)),
            "At this traffic it will hardly ever be known whether there is a difference. "
            "Give a --margin, and it can find that there is none that matters.",
        ),
        (
            lambda: said(normal(), 30),
            "score: not known yet whether 2.0 is better than 1.0: 25 keys on each arm are required; 1.0 has 1",
        ),
        (lambda: said(normal(), 4000, keys=20), "25 keys on each arm are required; 1.0 has "),
        (lambda: said(constant(3, 3)), "score: not known yet whether 2.0 is better than 1.0: its values do not vary."),
        (
            lambda: said(normal(0.4), metric="latency_seconds", lower_is_better=True),
            "latency_seconds: 2.0 is worse than 1.0: 10,369 ms against 10,005 ms, +364 ms (+268 to +459), +3.6%",
        ),
    ],
)
def test_every_sentence_says_what_was_found(found: Callable[[], str], expected: str) -> None:
    """Numbers with their unit, the interval, and what to do."""
    assert expected in found()


def test_arms_that_never_ran_together_are_not_compared() -> None:
    """First all requests went to one, then all to the other."""
    seen = experiment(2000, normal())
    late = seen.time >= 2000
    one_after_the_other = replace(seen, assigned=np.where(late, "2.0", "1.0"))
    splits = [
        SplitChange(0.0, "digits", "digits", {"1.0": 100.0, "2.0": 0.0}),
        SplitChange(2000.0, "digits", "digits", {"1.0": 0.0, "2.0": 100.0}),
    ]
    verdict = judge(Question("score", "2.0", "1.0"), one_after_the_other, splits)
    assert sentence(verdict).endswith("at no time did both arms have requests.")


def test_the_judge_finds_what_is_there_and_seldom_what_is_not() -> None:
    """A short form of `make study`.

    Of 200 experiments without a difference, looked at after every 200 requests, 5 % raise an alarm at most, allowing for three
    standard errors of the simulation; a t-test at the same looks raises it in more than 15 %.
    """
    alarms, tests = 0, 0
    for number in range(200):
        seen = experiment(4000, normal(), seed=number)
        verdict = judge(Question("score", "2.0", "1.0"), seen, HALVES, looks=20)
        alarms += any(look.difference.excludes_zero() for look in verdict.over_time)
        tests += _tested(seen)
    assert alarms <= 200 * (0.05 + 3 * (0.05 * 0.95 / 200) ** 0.5)
    assert tests > 200 * 0.15


def _tested(seen: Observations) -> bool:
    """Whether a test that takes each of twenty looks for its only one finds a difference."""
    for first in range(200, 4001, 200):
        value, treated = seen.value[:first], seen.assigned[:first] == "2.0"
        one, other = value[treated], value[~treated]
        error = (one.var(ddof=1) / len(one) + other.var(ddof=1) / len(other)) ** 0.5
        if abs(one.mean() - other.mean()) > 1.96 * error:
            return True
    return False
