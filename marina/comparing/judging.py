"""Judge an experiment by the traffic record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from marina.comparing.observing import BUILT_IN, ERROR, LATENCY
from marina.comparing.traffic import Traffic
from marina.comparing.traffic_rows import Observations
from marina.comparing.verdict import Margin, Question, Verdict, judge
from marina.errors import MarinaError, UsageError
from marina.reading import nearest_of

SLOW = "slow"


@dataclass(frozen=True)
class Asked:
    """What is asked of an experiment.

    Attributes:
        model: whose arms.
        control: the version that the others are compared with.
        experiment: the one with the latest request where None.
        metrics: all that is known where empty.
        alpha: the probability that any of the answers is wrong, whenever one looks.
        margin: the smallest difference that matters, of every metric.
        margins: the same of one metric.
        lower_is_better: outcome metrics of which less is better.
        slow_seconds: latency above which a request counts as slow; without it nothing is.
        since: requests from then on alone, Unix seconds.
        until: requests before then alone.
    """

    model: str
    control: str
    experiment: str | None = None
    metrics: Sequence[str] = ()
    alpha: float = 0.05
    margin: Margin | None = None
    margins: Mapping[str, Margin] = field(default_factory=dict)
    lower_is_better: frozenset[str] = frozenset()
    slow_seconds: float | None = None
    since: float | None = None
    until: float | None = None


@dataclass(frozen=True)
class Judgement:
    """What is answered: a verdict for each metric and each arm but the control."""

    model: str
    experiment: str
    control: str
    verdicts: tuple[Verdict, ...]


def judge_experiment(traffic: Traffic, asked: Asked, looks: int = 0) -> Judgement:
    """Judge the arms of an experiment.

    All verdicts together are wrong with a probability of alpha at most: each has an equal part of it (Bonferroni). Holm's steps
    would find a little more and give no intervals that agree with what was found.

    Args:
        traffic: the record.
        asked: what is asked.
        looks: how many differences over time to give with each verdict.

    Raises:
        MarinaError: there is nothing to compare.
        UsageError: no such model, experiment, metric or control.
    """
    experiment = _experiment(traffic, asked)
    metrics = _metrics(traffic, asked, experiment)
    seen = {metric: _observations(traffic, asked, experiment, metric) for metric in metrics}
    if not asked.metrics:
        seen = {metric: found for metric, found in seen.items() if len(found)}
    for metric, found in seen.items():
        _check(metric, found, experiment)
    arms = _arms(seen, asked, experiment)
    splits = traffic.splits(asked.model, experiment)
    alpha = asked.alpha / (len(seen) * len(arms))
    questions = [_question(metric, arm, asked, alpha) for metric in seen for arm in arms]
    verdicts = tuple(judge(question, seen[question.metric], splits, looks) for question in questions)
    return Judgement(asked.model, experiment, asked.control, verdicts)


def _experiment(traffic: Traffic, asked: Asked) -> str:
    known = traffic.experiments(asked.model)
    if not known:
        models = ", ".join(traffic.models()) or "none"
        raise UsageError(f"{asked.model}: the record has no requests of an experiment with it; models with requests: {models}")
    if asked.experiment is not None and asked.experiment not in known:
        raise UsageError(
            f"{asked.model}: no experiment '{asked.experiment}' is in the record: {nearest_of(asked.experiment, known)}"
        )
    return asked.experiment or known[0]


def _metrics(traffic: Traffic, asked: Asked, experiment: str) -> list[str]:
    recorded = traffic.metrics(asked.model, experiment)
    known = [*sorted(set(recorded) - set(BUILT_IN)), *BUILT_IN, *([SLOW] if asked.slow_seconds else [])]
    for metric in [*asked.metrics, *asked.margins, *asked.lower_is_better]:
        if metric not in known:
            hint = "; slow needs an objective p99_ms or --slower-than" if metric == SLOW else f": {nearest_of(metric, known)}"
            raise UsageError(f"{asked.model}: the record has no metric '{metric}' in experiment {experiment}{hint}")
    return list(dict.fromkeys(asked.metrics)) or known


def _observations(traffic: Traffic, asked: Asked, experiment: str, metric: str) -> Observations:
    recorded = LATENCY if metric == SLOW else metric
    found = traffic.observations(asked.model, experiment, recorded, asked.since, asked.until)
    slow = asked.slow_seconds if metric == SLOW else None
    return found if slow is None else replace(found, value=(found.value > slow).astype(float))


def _check(metric: str, found: Observations, experiment: str) -> None:
    if len(found) == 0:
        raise MarinaError(f"{metric}: the record has no value of it in experiment {experiment} at that time")
    wrong = int(np.count_nonzero(~np.isfinite(found.value)))
    if wrong:
        raise MarinaError(f"{metric}: {wrong} of {len(found)} values are not finite numbers: report those outcomes again")


def _arms(seen: Mapping[str, Observations], asked: Asked, experiment: str) -> list[str]:
    found = sorted({str(arm) for one in seen.values() for arm in np.unique(one.assigned)})
    if not found:
        raise MarinaError(f"{asked.model}: the record has no request of experiment {experiment} at that time")
    if asked.control not in found:
        raise UsageError(
            f"the control must be an arm of experiment {experiment}: {', '.join(found)}; found {asked.control}: give --control"
        )
    if len(found) == 1:
        raise MarinaError(f"two arms are required; all requests of experiment {experiment} were assigned to {found[0]}")
    return [arm for arm in found if arm != asked.control]


def _question(metric: str, arm: str, asked: Asked, alpha: float) -> Question:
    lower = metric in {ERROR, LATENCY, SLOW} | asked.lower_is_better
    return Question(metric, arm, asked.control, alpha, asked.margins.get(metric, asked.margin), lower)
