"""Carry a rollout on: step after step, watched and judged, until it is done, halted, or rolled back."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from marina.comparing.copies import copies_since, is_recorded
from marina.comparing.guardrails import Copies, Counts, Finding, Pair, judge
from marina.comparing.moves import Controls, finish, halt, move_to, roll_back, update
from marina.comparing.rollout import Rollout
from marina.console import step
from marina.errors import MarinaError
from marina.gateway.gateway import ArmStats
from marina.serving.management import Running
from marina.serving.polling import pause, wait_for

Value = TypeVar("Value")

LOOKS = 20  # at a step's workers and counts while it bakes
QUICKEST, SLOWEST = 0.25, 5.0  # seconds between them
GROWTH = 1.2  # how many times more requests than at the last test there must be for the next
SETTLE_SECONDS = 1.5  # after a move: requests on their way are of the step before, and the gateway adds up times once a second
NOT_REGISTERED = 404  # what TorchServe says of a version that it does not have
PATIENCE_SECONDS = 30  # with a gateway or a server that does not answer


def carry_on(controls: Controls, rollout: Rollout) -> Rollout:
    """Take the steps that are left; returns how it ended.

    Raises:
        Ended: somebody else has ended it.
        MarinaError: the gateway or the server does not answer; the split stays, and another run can go on.
    """
    first = 0 if rollout.position < 0 and not rollout.percent else rollout.position
    for position in range(first, len(rollout.steps)):
        rollout = move_to(controls, rollout, position)
        step(f"{rollout.model}: {rollout.candidate} has {rollout.percent:g} %: {rollout.split}")
        rollout, left = _Bake(controls, rollout).watch()
        if left is not None:
            return left
    return finish(controls, rollout)


@dataclass
class _Seen:
    """What both arms have done since a step began, and how the candidate answered copies."""

    candidate: Counts
    current: Counts
    copies: Copies = field(default_factory=Copies)


class _Bake:
    """One step while it is watched."""

    def __init__(self, controls: Controls, rollout: Rollout) -> None:
        self._controls = controls
        self._rollout = rollout
        self._workers = self._running()
        pause(SETTLE_SECONDS)
        self._began, self._since = time.monotonic(), time.time()
        self._is_compared = self._gets_copies() and is_recorded(controls.state)
        self._first = self._counts()
        self._tested = self._compared = 0
        self._told = ""

    def watch(self) -> tuple[Rollout, Rollout | None]:
        """Look until the step is over; returns the rollout, and how it ended where it did."""
        interval = min(max(self._rollout.bake_seconds / LOOKS, QUICKEST), SLOWEST)
        while True:
            pause(interval)
            if lost := self._lost():
                return self._rollout, self._back("workers", lost)
            seen, elapsed = self._seen(), time.monotonic() - self._began
            baked = elapsed >= self._rollout.bake_seconds
            finding = self._judge(seen, baked=baked)
            if finding and finding.verdict == "worse":
                return self._rollout, self._back(finding.about, finding.sentence, seen)
            waits = self._waits(seen, finding)
            if baked and waits is None:
                return self._passed(seen), None
            if elapsed >= self._rollout.max_bake_seconds and waits:
                return self._rollout, halt(self._controls, self._rollout.model, waits)
            if baked and waits and waits != self._told:
                self._told = waits
                step(f"{self._rollout.model}: waiting: {waits}")

    def _judge(self, seen: _Seen, *, baked: bool) -> Finding | None:
        """Test where there is enough that is new; the last look of a step always does."""
        update(self._controls, self._rollout)  # learns here, too, that somebody else has ended it
        more = seen.candidate.requests >= self._tested * GROWTH + 1 or seen.copies.compared >= self._compared * GROWTH + 1
        if not more and not baked:
            return None
        self._tested, self._compared = seen.candidate.requests, seen.copies.compared
        self._rollout = update(self._controls, self._rollout.model_copy(update={"looks": self._rollout.looks + 1}))
        current = seen.current if seen.current.requests else self._rollout.compared
        pair = Pair(self._rollout.candidate, self._rollout.current, seen.candidate, current, seen.copies)
        return judge(pair, self._rollout.bounds, self._rollout.looks)

    def _waits(self, seen: _Seen, finding: Finding | None) -> str | None:
        had, least = seen.candidate.requests, self._rollout.min_requests
        if self._rollout.percent and had < least:
            return f"{self._rollout.candidate} had {had} requests at {self._rollout.percent:g} %, required {least}"
        return finding.sentence if finding else None

    def _passed(self, seen: _Seen) -> Rollout:
        compared = seen.current if seen.current.requests else self._rollout.compared
        rollout = update(self._controls, self._rollout.model_copy(update={"compared": compared}))
        text = f"{rollout.candidate}: {figures(seen.candidate)}; {rollout.current}: {figures(compared)}"
        if self._is_compared:
            text += f"; {seen.copies.alike} of {seen.copies.compared} copies answered alike"
        self._note("passed", text, seen)
        step(f"{rollout.model}: {rollout.percent:g} % held: {text}")
        return rollout

    def _back(self, about: str, sentence: str, seen: _Seen | None = None) -> Rollout:
        self._note("worse", sentence, seen, about=about)
        return roll_back(self._controls, self._rollout.model, sentence)

    def _note(self, event: str, text: str, seen: _Seen | None, **more: object) -> None:
        both = {"candidate_counts": seen.candidate, "current_counts": seen.current, "copies": seen.copies} if seen else {}
        counts = {name: one.model_dump(mode="json") for name, one in both.items()}
        self._controls.record(self._rollout.model).note(self._rollout, event, text, **counts, **more)

    def _lost(self) -> str | None:
        """What became of the candidate's workers since the step began."""
        now, before = self._running(), self._workers
        version = self._rollout.candidate
        if version not in now:
            return f"{version} was unregistered"
        gone = [one.id for one in before[version].workers if one.pid > 0 and not _lives(one.id, one.pid, now[version])]
        scaled = now[version].wanted_workers != before[version].wanted_workers
        if (gone and not scaled) or not now[version].ready_workers:
            kept = (
                f"{self._rollout.current} kept its own" if self._kept(now, before) else f"{self._rollout.current} lost some too"
            )
            lost = len(gone) or now[version].wanted_workers - now[version].ready_workers
            return f"{version} lost {lost} of its {before[version].wanted_workers} workers; {kept}"
        return None

    def _kept(self, now: dict[str, Running], before: dict[str, Running]) -> bool:
        current = self._rollout.current
        if current not in now or current not in before:
            return False
        return all(_lives(one.id, one.pid, now[current]) for one in before[current].workers if one.pid > 0)

    def _seen(self) -> _Seen:
        now = self._counts()
        return _Seen(now.candidate.since(self._first.candidate), now.current.since(self._first.current), self._copies())

    def _copies(self) -> Copies:
        if not self._is_compared:
            return Copies()
        rollout = self._rollout
        arms = (rollout.candidate, rollout.current)
        return _patiently(lambda: copies_since(self._controls.state, rollout.model, arms, self._since))

    def _gets_copies(self) -> bool:
        """Whether the candidate is the shadow, by the rollout or by the deployment."""
        shadow = self._controls.gateway.deployment().models[self._rollout.model].shadow
        return shadow is not None and shadow.version == self._rollout.candidate

    def _counts(self) -> _Seen:
        arms = _patiently(lambda: self._controls.gateway.arms(self._rollout.model))
        return _Seen(counts_of(arms.get(self._rollout.candidate)), counts_of(arms.get(self._rollout.current)))

    def _running(self) -> dict[str, Running]:
        return _patiently(lambda: self._controls.management.versions(self._rollout.model))


def counts_of(arm: ArmStats | None) -> Counts:
    """What the gateway counted of an arm; nothing of one that it does not know yet."""
    if arm is None:
        return Counts()
    buckets = {bound / 1000: count for bound, count in arm.latency_buckets_ms.items()}
    errors = sum(count for status, count in arm.first_statuses.items() if status >= 500 or status == NOT_REGISTERED)
    return Counts(requests=arm.requests, errors=errors, buckets=buckets | {math.inf: max(buckets.values(), default=0)})


def figures(counts: Counts) -> str:
    """Counts in words."""
    usual = counts.p99
    p99 = "" if usual is None else f", p99 {usual * 1000:.3g} ms"
    return f"{counts.requests} requests, {100 * counts.error_share:.1f} % errors{p99}"


def _lives(number: str, pid: int, running: Running) -> bool:
    return any(one.id == number and one.pid == pid for one in running.workers)


def _patiently(ask: Callable[[], Value]) -> Value:
    """Ask what may be started anew just now.

    Raises:
        MarinaError: it does not answer for longer than PATIENCE_SECONDS.
    """
    failed: list[MarinaError] = []

    def answer() -> tuple[Value] | None:
        try:
            return (ask(),)
        except MarinaError as error:
            failed.append(error)
            return None

    found = wait_for(answer, PATIENCE_SECONDS)
    if found is None:
        raise failed[-1]
    return found[0]
