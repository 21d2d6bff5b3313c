"""Whether a candidate does worse than the current arm under the same load: what a rollout is rolled back for.

Everything is read off counts, which a gateway keeps by itself. Two arms are compared over the same stretch of time:

- errors: Fisher's exact test, one-sided, that the candidate fails more often, and by more than a margin;
- p99: the quantile test (Conover, Practical Nonparametric Statistics, 3rd ed., 3.2) that more than 1 % of the candidate's
  answers take longer than the current arm's p99 times a ratio, and Fisher's test that more of them do than of the current's;
- the objectives: exact binomial tests that the candidate is beyond them;
- agreement, where the candidate gets copies of requests: that it names the best label that the current arm named for a smaller
  share of them than is required, told by the upper end of Clopper and Pearson's interval.

A rollout looks many times. The k-th look tests at the level alpha / (k (k + 1)), shared by the tests: these sum to alpha over
any number of looks, so that alpha bounds the chance that a candidate as good as the current arm is ever rolled back by them
(the union bound). Requests are taken as independent; those of one heavy caller are not, which docs/rollouts.md says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from marina.comparing.split import Objectives
from marina.watching.quantiles import quantile

TESTS = 5  # that share alpha
LEAST_COPIES = 20  # that must be compared, before anything is said of them
P99 = 0.99
SLOWEST = 1 - P99


class Counts(BaseModel):
    """What an arm did in a stretch of time.

    Attributes:
        requests: that were assigned to it.
        errors: of these, its first answer was its own fault (5xx, 404), or none came.
        buckets: how many of its answers took at most so many seconds, by the bound; the last is infinite.
    """

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    requests: int = 0
    errors: int = 0
    buckets: dict[float, int] = Field(default_factory=dict)

    def since(self, earlier: Counts) -> Counts:
        """What was counted after an earlier reading; all of it where the counts began anew since."""
        if self.requests < earlier.requests:
            return self
        buckets = {bound: count - earlier.buckets.get(bound, 0) for bound, count in self.buckets.items()}
        return Counts(requests=self.requests - earlier.requests, errors=self.errors - earlier.errors, buckets=buckets)

    @property
    def error_share(self) -> float:
        """Errors of requests, 0 to 1."""
        return self.errors / self.requests if self.requests else 0.0

    @property
    def answers(self) -> int:
        """How many answers were timed."""
        return max(self.buckets.values(), default=0)

    @property
    def p99(self) -> float | None:
        """Seconds that 99 of 100 answers stay below, estimated within its bucket; None without answers."""
        return quantile(P99, {str(bound): float(count) for bound, count in self.buckets.items()})

    def slower_than(self, bound: float) -> int:
        """How many answers took longer than one of the bounds, in seconds."""
        return self.answers - self.buckets.get(bound, self.answers)

    def bound_from(self, seconds: float) -> float:
        """The smallest bound that is at least so many seconds."""
        return min((bound for bound in self.buckets if bound >= seconds), default=math.inf)


class Copies(BaseModel):
    """Requests that the current arm answered and the candidate got a copy of, as far as both answers have labels.

    Attributes:
        compared: how many.
        alike: of these, both named the same best label.
    """

    model_config = ConfigDict(frozen=True)

    compared: int = 0
    alike: int = 0

    def most(self, level: float) -> float:
        """The largest share of alike answers, 0 to 1, that the counts do not speak against at a level (one-sided)."""
        from scipy.stats import beta

        return 1.0 if self.alike == self.compared else float(beta.ppf(1 - level, self.alike + 1, self.compared - self.alike))


class Bounds(BaseModel):
    """How much worse a candidate may be.

    Attributes:
        min_agreement: percent of requests that it must answer as the current arm does.
        errors_margin: percentage points that it may fail more often than the current arm.
        p99_ratio: by which its p99 may exceed the current arm's.
        alpha: chance, over a whole rollout, that one as good as the current arm is rolled back by these tests.
        objectives: of the deployment.
    """

    model_config = ConfigDict(frozen=True)

    min_agreement: float = 90.0
    errors_margin: float = 0.5
    p99_ratio: float = 1.5
    alpha: float = 0.05
    objectives: Objectives = Objectives()


@dataclass(frozen=True)
class Finding:
    """What is wrong.

    Attributes:
        verdict: ``worse`` rolls back; ``hold`` only keeps a rollout from going on, since the current arm does no better.
        about: the guardrail.
        sentence: for people.
    """

    verdict: Literal["worse", "hold"]
    about: Literal["errors", "p99", "agreement"]
    sentence: str


@dataclass(frozen=True)
class Pair:
    """The two arms of a comparison, by name, by counts over the same stretch of time, and by copies within it."""

    candidate: str
    current: str
    of_candidate: Counts
    of_current: Counts
    copies: Copies


def judge(pair: Pair, bounds: Bounds, look: int) -> Finding | None:
    """What the counts show against a candidate, or None.

    Args:
        pair: the arms.
        bounds: how much worse the candidate may be.
        look: the how manyth look of this rollout it is, from 1.
    """
    level = bounds.alpha / TESTS / (look * (look + 1))
    found = (
        _errors(pair, bounds, level),
        _p99(pair, bounds, level),
        *_objectives(pair, bounds, level),
        _agreement(pair, bounds, level),
    )
    return min(filter(None, found), key=lambda one: one.verdict != "worse", default=None)


def _errors(pair: Pair, bounds: Bounds, level: float) -> Finding | None:
    ours, theirs = pair.of_candidate, pair.of_current
    p = _more_often((ours.errors, ours.requests), (theirs.errors, theirs.requests))
    if p >= level or (ours.error_share - theirs.error_share) * 100 <= bounds.errors_margin:
        return None
    return Finding(
        "worse",
        "errors",
        f"{pair.candidate} fails more often than {pair.current}: {_share(ours.errors, ours.requests)} against "
        f"{_share(theirs.errors, theirs.requests)} of the requests (p = {p:.1g})",
    )


def _p99(pair: Pair, bounds: Bounds, level: float) -> Finding | None:
    ours, theirs = pair.of_candidate, pair.of_current
    usual = theirs.p99
    bound = theirs.bound_from(usual * bounds.p99_ratio) if usual is not None else math.inf
    if usual is None or math.isinf(bound) or not ours.answers:
        return None
    slow, slow_theirs = ours.slower_than(bound), theirs.slower_than(bound)
    p = max(_beyond(slow, ours.answers, SLOWEST), _more_often((slow, ours.answers), (slow_theirs, theirs.answers)))
    if p >= level:
        return None
    return Finding(
        "worse",
        "p99",
        f"{pair.candidate} is slower than {pair.current}: its p99 is above {_ms(bound)}, {pair.current}'s about {_ms(usual)}: "
        f"{_share(slow, ours.answers)} of its answers took longer than that, {_share(slow_theirs, theirs.answers)} of "
        f"{pair.current}'s (p = {p:.1g})",
    )


def _objectives(pair: Pair, bounds: Bounds, level: float) -> list[Finding | None]:
    return [_error_objective(pair, bounds.objectives, level), _p99_objective(pair, bounds.objectives, level)]


def _error_objective(pair: Pair, objectives: Objectives, level: float) -> Finding | None:
    ours, most = pair.of_candidate, objectives.errors_percent / 100
    if _beyond(ours.errors, ours.requests, most) >= level:
        return None
    text = (
        f"{pair.candidate} fails in {_share(ours.errors, ours.requests)} of the requests, beyond the objective of "
        f"{objectives.errors_percent:g} %"
    )
    return _unless_both(pair, "errors", text, both=pair.of_current.error_share > most)


def _p99_objective(pair: Pair, objectives: Objectives, level: float) -> Finding | None:
    ours, theirs = pair.of_candidate, pair.of_current
    if objectives.p99_ms is None or not ours.answers:
        return None
    bound = ours.bound_from(objectives.p99_ms / 1000)
    slow = ours.slower_than(bound)
    if _beyond(slow, ours.answers, SLOWEST) >= level:
        return None
    text = (
        f"{pair.candidate}'s p99 is beyond the objective of {objectives.p99_ms:g} ms: {_share(slow, ours.answers)} of its "
        f"answers took longer than {_ms(bound)}"
    )
    usual = theirs.p99
    return _unless_both(pair, "p99", text, both=usual is not None and usual > bound)


def _agreement(pair: Pair, bounds: Bounds, level: float) -> Finding | None:
    copies, least = pair.copies, bounds.min_agreement
    if copies.compared < LEAST_COPIES or copies.most(level) >= least / 100:
        return None
    return Finding(
        "worse",
        "agreement",
        f"{pair.candidate} answers {_share(copies.alike, copies.compared)} of the copied requests as {pair.current} does, "
        f"which may be {100 * copies.most(level):.1f} % at most; required {least:g} %",
    )


def _unless_both(pair: Pair, about: Literal["errors", "p99"], text: str, *, both: bool) -> Finding:
    """Where the current arm does no better, going back would help nobody."""
    return Finding("hold", about, f"{text}, and so is {pair.current}") if both else Finding("worse", about, text)


def _more_often(ours: tuple[int, int], theirs: tuple[int, int]) -> float:
    """P of Fisher's exact test that the first (events, of how many) happens no more often than the second."""
    from scipy.stats import hypergeom

    (events, number), (others, of_others) = ours, theirs
    if not events or not of_others:
        return 1.0
    return float(hypergeom.sf(events - 1, number + of_others, events + others, number))


def _beyond(events: int, number: int, share: float) -> float:
    """P of the exact binomial test that events happen no more often than a share."""
    from scipy.stats import binom

    return float(binom.sf(events - 1, number, share)) if events else 1.0


def _share(events: int, number: int) -> str:
    return f"{100 * events / number if number else 0:.1f} % ({events} of {number})"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
