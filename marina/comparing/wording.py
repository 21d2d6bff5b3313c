"""Verdicts in plain sentences."""

from __future__ import annotations

from marina.comparing.interval import KEYS, Interval
from marina.comparing.judging import SLOW, Judgement
from marina.comparing.observing import LATENCY
from marina.comparing.verdict import Verdict

SHARED_CORES = (
    "Arms on one machine share its cores, so that each latency has the other arm's load in it: "
    "a difference may be smaller here than it would be apart, and a slow arm makes the other one slow."
)
SURVIVORS = "Latencies are those of requests that the assigned arm answered."
UNITS = ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes"))


def sentence(verdict: Verdict) -> str:
    """What a verdict says."""
    question = verdict.question
    arm, control = question.arm, question.control
    if verdict.state == "untrusted":
        return f"{question.metric}: no verdict on {arm} against {control}: {_missing(verdict)}"
    if verdict.difference is None:
        return f"{question.metric}: not known yet whether {arm} is better than {control}: {_lacking(verdict)}"
    seen = f"{_levels(verdict)}, {_difference(verdict, verdict.difference)}"
    if verdict.state == "same":
        return f"{question.metric}: no difference that matters between {arm} and {control}: {seen}, within {_margin(verdict)}."
    if verdict.state == "unknown":
        return f"{question.metric}: not known yet whether {arm} is better than {control}: {seen}. {_longer(verdict)}"
    return f"{question.metric}: {arm} is {verdict.state} than {control}: {seen}."


def summary(judgement: Judgement) -> str:
    """All verdicts on each arm, in one line."""
    return "; ".join(_of_arm(judgement, arm) for arm in dict.fromkeys(one.question.arm for one in judgement.verdicts)) + "."


def notes(judgement: Judgement) -> list[str]:
    """What must be known to read the verdicts rightly."""
    latency = {LATENCY, SLOW} & {one.question.metric for one in judgement.verdicts}
    unchecked = [one for one in judgement.verdicts if not any(one.ratio.expected.values())]
    told = [SURVIVORS, SHARED_CORES] if latency else []
    if unchecked:
        told.append("The record has no split for these requests, so that keys could not be counted against it.")
    return told


def _of_arm(judgement: Judgement, arm: str) -> str:
    words = {"better": "better in", "worse": "worse in", "same": "no different in", "unknown": "not known yet in"}
    words["untrusted"] = "no verdict in"
    parts = []
    for state, said in words.items():
        metrics = [one.question.metric for one in judgement.verdicts if one.question.arm == arm and one.state == state]
        if metrics:
            parts.append(f"{said} {', '.join(metrics)}")
    return f"{arm} against {judgement.control}: {', '.join(parts)}"


def _levels(verdict: Verdict) -> str:
    control, other = verdict.evidence.means
    return f"{_amount(verdict, other)} against {_amount(verdict, control)}"


def _difference(verdict: Verdict, difference: Interval) -> str:
    bounds = f"{_change(verdict, difference.low)} to {_change(verdict, difference.high)}"
    said = f"{_change(verdict, difference.value)}{_unit(verdict)} ({bounds})"
    relative = verdict.relative
    return said if relative is None else f"{said}, {relative.value:+.1%} ({relative.low:+.1%} to {relative.high:+.1%})"


def _margin(verdict: Verdict) -> str:
    if verdict.margin is None:
        raise ValueError("no margin was given")
    return f"the margin of {_change(verdict, verdict.margin).removeprefix('+')}{_unit(verdict)}"


def _longer(verdict: Verdict) -> str:
    margin = "" if verdict.margin is not None else " Give a --margin, and it can find that there is none that matters."
    if verdict.margin == 0:
        return "The margin is a part of the control's mean, which is 0: give it in the metric's unit."
    if verdict.more_seconds is None:
        return "At this traffic it will hardly ever be known whether there is a difference." + margin
    return f"About {_duration(verdict.more_seconds)} more at this traffic, if that is the difference."


def _duration(seconds: float) -> str:
    for unit, name in UNITS:
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{max(seconds, 1):.0f} seconds"


def _lacking(verdict: Verdict) -> str:
    for keys, alike, arm in zip(verdict.evidence.keys, verdict.evidence.alike, _arms(verdict), strict=True):
        if keys < KEYS:
            return f"{KEYS} keys on each arm are required; {arm} has {keys} so far."
        if alike < KEYS:
            weigh = f"{arm} has {keys} keys, which weigh as {alike:.0f} of equal traffic; {KEYS} are required"
            return f"a few keys make most of the requests: {weigh}."
    if verdict.evidence.weight == 0:
        return "at no time did both arms have requests."
    return "its values do not vary."


def _arms(verdict: Verdict) -> tuple[str, str]:
    return verdict.question.control, verdict.question.arm


def _missing(verdict: Verdict) -> str:
    ratio = verdict.ratio
    total, counted = sum(ratio.seen.values()), sum(ratio.expected.values())
    seen = ", ".join(f"{arm} {count / total:.1%}" for arm, count in ratio.seen.items())
    expected = ", ".join(f"{arm} {count / counted:.1%}" for arm, count in ratio.expected.items())
    return (
        f"of the {total} keys with this metric {seen}, where the split gives {expected}, which is no chance: "
        "find what loses an arm's requests or outcomes, and begin anew."
    )


def _amount(verdict: Verdict, value: float) -> str:
    if verdict.binary:
        return f"{value:.2%}"
    return f"{_short(value * 1000, 4)} ms" if verdict.question.metric == LATENCY else _short(value, 4)


def _change(verdict: Verdict, value: float) -> str:
    if verdict.binary:
        return f"{value * 100:+.2f}"
    return f"{'+' if value >= 0 else ''}{_short(value * 1000 if verdict.question.metric == LATENCY else value, 3)}"


def _short(value: float, digits: int) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"


def _unit(verdict: Verdict) -> str:
    if verdict.binary:
        return " points"
    return " ms" if verdict.question.metric == LATENCY else ""
