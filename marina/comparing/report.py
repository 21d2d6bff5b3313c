"""What a report on an experiment says, gathered from the traffic record; how it looks is others' business."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from marina.comparing.judging import Asked, Judgement, judge_experiment
from marina.comparing.observing import ERROR
from marina.comparing.report_figures import (
    ArmFigures,
    Requests,
    SeenSplit,
    ShadowFigures,
    arm_figures,
    seen_split,
    shadow_figures,
)
from marina.comparing.sample_ratio import SampleRatio
from marina.comparing.traffic import Traffic
from marina.comparing.traffic_rows import Event, SplitChange
from marina.comparing.verdict import Verdict
from marina.comparing.wording import notes, sentence, summary
from marina.errors import MarinaError, UsageError

LOOKS = 60  # differences over time


@dataclass(frozen=True)
class Report:
    """A report; times are Unix seconds.

    Attributes:
        model: whose arms.
        experiment: which of its experiments.
        control: the version that the others are compared with.
        made: when.
        begin: of the first request.
        end: of the last one.
        requests: how many.
        keys: of how many callers.
        arms: the control first.
        judgement: of the arms; None where nothing can be judged yet.
        unjudged: the reason for that.
        seen: the split as it was seen.
        splits: as it was intended.
        events: what happened meanwhile.
        shadows: how shadows compare.
    """

    model: str
    experiment: str
    control: str
    made: float
    begin: float
    end: float
    requests: int
    keys: int
    arms: list[ArmFigures]
    judgement: Judgement | None
    unjudged: str | None
    seen: SeenSplit
    splits: list[SplitChange] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    shadows: list[ShadowFigures] = field(default_factory=list)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """One for each metric and each arm but the control."""
        return () if self.judgement is None else self.judgement.verdicts

    @property
    def summary(self) -> str:
        """The verdicts in one line, or why there are none."""
        return f"Nothing can be judged: {self.unjudged}." if self.judgement is None else summary(self.judgement)

    @property
    def sentences(self) -> list[str]:
        """Each verdict in words."""
        return [sentence(verdict) for verdict in self.verdicts]

    @property
    def notes(self) -> list[str]:
        """What must be known to read them rightly."""
        return [] if self.judgement is None else notes(self.judgement)


def gather(traffic: Traffic, asked: Asked) -> Report:
    """Gather a report.

    Args:
        traffic: the record.
        asked: what the judge is asked; also which requests the report is about.

    Raises:
        UsageError: no such model, experiment, metric or control.
        MarinaError: the record cannot be read, or has no request of the experiment at that time.
    """
    judgement, unjudged = _judgement(traffic, asked)
    experiment = judgement.experiment if judgement else asked.experiment or traffic.experiments(asked.model)[0]
    requests = Requests(traffic, asked, experiment)
    seen = requests.observe(ERROR)
    if not len(seen):
        raise MarinaError(f"{asked.model}: the record has no request of experiment {experiment} at that time")
    splits = traffic.splits(asked.model, experiment)
    begin, end = float(seen.time.min()), float(seen.time.max())
    return Report(
        model=asked.model,
        experiment=experiment,
        control=asked.control,
        made=time.time(),
        begin=begin,
        end=end,
        requests=len(seen),
        keys=len(np.unique(seen.key)),
        arms=arm_figures(requests, splits[-1].weights if splits else {}, _ratio(judgement)),
        judgement=judgement,
        unjudged=unjudged,
        seen=seen_split(seen),
        splits=splits,
        events=[one for one in traffic.events(asked.model) if begin <= one.time <= max(end, asked.until or time.time())],
        shadows=shadow_figures(traffic.agreements(asked.model, begin)),
    )


def _judgement(traffic: Traffic, asked: Asked) -> tuple[Judgement | None, str | None]:
    """What the judge says, or why it cannot say anything."""
    try:
        return judge_experiment(traffic, asked, LOOKS), None
    except UsageError:
        raise
    except MarinaError as error:
        return None, str(error)


def _ratio(judgement: Judgement | None) -> SampleRatio | None:
    """How keys were shared, by the metric that most of them have."""
    ratios = [one.ratio for one in judgement.verdicts] if judgement else []
    return max(ratios, key=lambda one: sum(one.seen.values()), default=None)
