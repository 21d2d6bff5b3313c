"""Read what is known of a metric, by arm and by key, out of the traffic database."""

from __future__ import annotations

from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, CompoundSelect, Connection, FromClause, Select, and_, case, func, select

from marina.comparing.traffic_rows import Observations
from marina.comparing.traffic_tables import outcomes, requests

ERROR, LATENCY = "error", "latency_seconds"
BUILT_IN = (ERROR, LATENCY)
ROWS_AT_ONCE = 10_000


def values_of(model: str, experiment: str, metric: str) -> Select[Any]:
    """The query of a metric's values, one row each; further conditions on ``requests`` may be added."""
    query = _built_in(metric) if metric in BUILT_IN else _of_outcomes(model, metric)
    return query.where(requests.c.model == model, requests.c.experiment == experiment, requests.c.assigned.is_not(None))


def between(query: Select[Any], since: float | None, until: float | None) -> Select[Any]:
    """The query, of the requests of a time alone."""
    if since is not None:
        query = query.where(requests.c.time >= since)
    return query if until is None else query.where(requests.c.time < until)


def rescued(model: str, experiment: str, since: float | None, until: float | None) -> Select[Any]:
    """The query of how many requests of each arm another version answered."""
    query = select(requests.c.assigned, func.count().label("count_")).group_by(requests.c.assigned)
    query = query.where(requests.c.model == model, requests.c.experiment == experiment)
    return between(query.where(requests.c.answered != requests.c.assigned), since, until)


def metrics_with_outcomes(model: str, experiment: str) -> CompoundSelect[Any]:
    """The query of the metrics that there are outcomes of."""
    asked = and_(requests.c.model == model, requests.c.experiment == experiment)
    by_request = select(outcomes.c.metric).join(requests, requests.c.request_id == outcomes.c.request_id).where(asked)
    by_key = select(outcomes.c.metric).where(
        outcomes.c.experiment == experiment, outcomes.c.key.in_(select(requests.c.key).where(asked))
    )
    return by_request.union(by_key).order_by("metric")


def _columns(known: ColumnElement[Any], value: ColumnElement[Any]) -> tuple[ColumnElement[Any], ...]:
    unit = func.coalesce(requests.c.key, requests.c.request_id)
    return requests.c.time, known.label("known"), unit.label("unit"), requests.c.assigned, value.label("value")


def _built_in(metric: str) -> Select[Any]:
    if metric == ERROR:
        said = func.coalesce(requests.c.first_status, requests.c.status)
        return select(*_columns(requests.c.time, case((said >= 500, 1.0), else_=0.0)))
    by_it = func.coalesce(requests.c.answered, requests.c.assigned) == requests.c.assigned  # a handler may not say
    answered = and_(requests.c.first_status < 400, by_it, requests.c.seconds.is_not(None))
    return select(*_columns(requests.c.time, requests.c.seconds)).where(answered)


def _of_outcomes(model: str, metric: str) -> Select[Any]:
    earlier = requests.alias()
    last = (
        select(earlier.c.request_id)
        .where(earlier.c.experiment == outcomes.c.experiment, earlier.c.key == outcomes.c.key)
        .where(earlier.c.model == model, earlier.c.time <= outcomes.c.time)
        .order_by(earlier.c.time.desc())
        .limit(1)
        .correlate(outcomes)
        .scalar_subquery()
    )
    of_which = func.coalesce(outcomes.c.request_id, last)
    joined: FromClause = outcomes.join(requests, requests.c.request_id == of_which)
    return select(*_columns(outcomes.c.time, outcomes.c.value)).select_from(joined).where(outcomes.c.metric == metric)


def arrays(connection: Connection, query: Select[Any]) -> Observations:
    """Read without holding all rows as Python's objects: a million of them are some 40 MB."""
    numbers: dict[str, int] = {}
    parts = []
    ordered = query.order_by("known", requests.c.request_id).execution_options(yield_per=ROWS_AT_ONCE)
    for rows in connection.execute(ordered).partitions():
        at, known, units, assigned, values = zip(*rows, strict=True)
        keys = [numbers.setdefault(unit, len(numbers)) for unit in units]
        parts.append(
            (np.array(at, float), np.array(known, float), np.array(keys, np.int64), np.array(assigned), np.array(values, float))
        )
    if not parts:
        return Observations(*(np.array([], kind) for kind in (float, float, np.int64, np.str_, float)))
    return Observations(*(np.concatenate(column) for column in zip(*parts, strict=True)))
