"""Tune a version: build, search, measure the best again beside what the spec says, choose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from filelock import Timeout

from marina.console import step
from marina.errors import MarinaError
from marina.measuring.comparing import median_interval
from marina.remembering import lock_beside, recall, remember, unwritable
from marina.tuning.archives import Archives, forget, own_store
from marina.tuning.asking import Asked
from marina.tuning.formats import versions_by_format
from marina.tuning.journal import AloneAt, Build, Kept, Tried
from marina.tuning.objective import Served
from marina.tuning.plan import Plan
from marina.tuning.result import Against, Result, median_of
from marina.tuning.search import Search
from marina.tuning.space import Point
from marina.tuning.trial import Trial
from marina.tuning.tuner import FINALISTS, Clock, Tuner, summary

Rounds = Sequence[tuple[Tried, ...]]
REASONS = 3  # that a message names


def tune(plan: Plan) -> Result:
    """The best settings for a version on this machine, with the evidence.

    Raises:
        MarinaError: nothing could be served, or nothing meets the objective.
    """
    if earlier := _earlier(plan):
        step(f"this was found on {earlier.finished:%Y-%m-%d %H:%M} UTC; --again measures anew, a longer --budget goes on")
        return earlier
    with _alone(plan):
        result = _tuned(plan)
        remember(plan.result, result)
    return result


def _tuned(plan: Plan) -> Result:
    kept = Kept(plan.journal, plan.conditions, plan.machine)
    if kept.is_resumed:
        step(f"going on with what was measured since {kept.journal.began:%Y-%m-%d %H:%M} UTC ({kept.path})")
    store = own_store(plan.folder, plan.store)
    archives = Archives(versions_by_format(plan.found, plan.version, plan.space.formats), store, plan.weights)
    with Trial(archives, plan.folder / "logs") as trial:
        asked = Asked(plan.requests, plan.objective.connections)
        tuner = Tuner(plan.space, archives, asked, kept, trial, Clock(plan.budget_s))
        chosen, rounds = _searched(plan, tuner)
    result = _result(plan, kept, chosen, rounds)
    forget(store)
    return result


@contextmanager
def _alone(plan: Plan) -> Iterator[None]:
    """Tune a version once at a time: two would measure each other.

    Raises:
        MarinaError: another process tunes it.
    """
    lock = lock_beside(plan.journal)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise MarinaError(f"{plan.name}: another process tunes it: let it finish, or end it, and try again") from error
    except OSError as error:
        raise unwritable(plan.journal, error) from error
    try:
        yield
    finally:
        lock.release()


def forget_all(plan: Plan) -> None:
    """Forget what was measured and found."""
    for path in (plan.journal, plan.result):
        path.unlink(missing_ok=True)


def _earlier(plan: Plan) -> Result | None:
    """What was found for the same, if it was."""
    found = recall(plan.result, Result)
    if found is None:
        return None
    same = (found.conditions, found.objective, found.space, found.budget_s, found.became)
    wanted = (plan.conditions, plan.objective, plan.space, plan.budget_s, plan.target(found.chosen).name)
    return found if same == wanted else None


def _searched(plan: Plan, tuner: Tuner) -> tuple[Point, Rounds]:
    """The best point, and the rounds in which it was better than the others."""
    tuner.build()
    search = Search(plan.space, plan.objective, tuner)
    tuner.most = search.most
    best = search.run()
    if not best:
        raise MarinaError(_nothing(plan, tuner))
    _require_met(plan, best[0], search.seen[best[0]])
    finalists = list(dict.fromkeys([*best[:FINALISTS], plan.default]))
    rounds = tuner.finals(finalists)
    medians = {point: served for point in finalists if (served := median_of(rounds, point))}
    if not medians:
        raise MarinaError(_nothing(plan, tuner))
    chosen = max(medians, key=lambda point: plan.objective.rank(medians[point]))
    _require_met(plan, chosen, medians[chosen])
    return chosen, rounds


def _require_met(plan: Plan, best: Point, served: Served) -> None:
    """See that the best point is good enough.

    Raises:
        MarinaError: it is not; what it does reach is said.
    """
    if plan.objective.rank(served).meets:
        return
    found = f"{plan.name}: nothing that was tried gives {plan.objective}; the nearest is {best}: {summary(served)}"
    if served.failures:
        raise MarinaError(f"{found}: look into {plan.folder / 'logs'} why")
    allowed = f"{served.p99_s * 1000 * 1.1:.0f}ms"
    raise MarinaError(f"{found}: allow --p99 {allowed}, or ask for fewer --connections")


def _nothing(plan: Plan, tuner: Tuner) -> str:
    """Why nothing could be served."""
    journal = tuner.kept.journal
    entries: tuple[Build | AloneAt | Tried, ...] = (*journal.builds, *journal.alone, *journal.tried)
    reasons = [one.reason for one in entries if one.reason]
    said = list(dict.fromkeys(reasons))[:REASONS] or ["there was no time; a longer --budget has some"]
    return f"{plan.name}: no format of it could be served: {'; '.join(said)}"


def _result(plan: Plan, kept: Kept, chosen: Point, rounds: Rounds) -> Result:
    journal = kept.journal
    return Result(
        model=plan.found.spec.name,
        version=plan.version,
        became=plan.target(chosen).name,
        objective=plan.objective,
        random_weights=plan.weights.random,
        agreement=plan.found.spec.calibration.agreement,
        machine=plan.machine,
        space=plan.space,
        points=len(plan.space.points()),
        builds=journal.builds,
        alone=journal.alone,
        tried=journal.tried,
        default=plan.default,
        chosen=chosen,
        rounds=tuple(rounds),
        ratio=_against(plan, rounds, chosen),
        conditions=plan.conditions,
        budget_s=plan.budget_s,
    )


def _against(plan: Plan, rounds: Rounds, chosen: Point) -> Against | None:
    """How the chosen point does against what the spec says."""
    ours, theirs = ([tried.served for one in rounds for tried in one if tried.point == point] for point in (chosen, plan.default))
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if a and b]
    if chosen == plan.default or not pairs:
        return None
    found = median_interval([plan.objective.value(a) / plan.objective.value(b) for a, b in pairs])
    return Against(median=found.median, low=found.low, high=found.high, confidence=found.confidence)
