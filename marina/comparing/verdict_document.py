"""Verdicts as JSON, for programs."""

from __future__ import annotations

from typing import Any

from marina.comparing.interval import Interval
from marina.comparing.judging import Judgement
from marina.comparing.verdict import Look, Verdict
from marina.comparing.wording import notes, sentence, summary


def document(judgement: Judgement) -> dict[str, Any]:
    """All that was found; numbers are in the metric's unit, times Unix seconds."""
    return {
        "model": judgement.model,
        "experiment": judgement.experiment,
        "control": judgement.control,
        "summary": summary(judgement),
        "verdicts": [_verdict(one) for one in judgement.verdicts],
        "notes": notes(judgement),
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    question, evidence, ratio = verdict.question, verdict.evidence, verdict.ratio
    arms = question.control, question.arm
    return {
        "metric": question.metric,
        "arm": question.arm,
        "control": question.control,
        "verdict": verdict.state,
        "sentence": sentence(verdict),
        "alpha": question.alpha,
        "lower_is_better": question.lower_is_better,
        "margin": verdict.margin,
        "means": dict(zip(arms, evidence.means, strict=True)) if evidence.weight else None,
        "difference": _interval(verdict.difference),
        "relative_difference": _interval(verdict.relative),
        "keys": dict(zip(arms, evidence.keys, strict=True)),
        "requests": dict(zip(arms, evidence.requests, strict=True)),
        "more_seconds": verdict.more_seconds,
        "sample_ratio": {"right": ratio.right, "seen": ratio.seen, "expected": ratio.expected, "evidence": ratio.evidence},
        "over_time": [_look(one) for one in verdict.over_time],
    }


def _interval(interval: Interval | None) -> dict[str, float] | None:
    return None if interval is None else {"value": interval.value, "low": interval.low, "high": interval.high}


def _look(look: Look) -> dict[str, Any]:
    return {"time": look.time, "keys": sum(look.keys), **vars(look.difference)}
