"""Compare what two versions answered to one request: the arm that the caller heard, and the shadow."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field, FiniteFloat
from sqlalchemy import Connection, and_, delete, select, tuple_

from marina.comparing.traffic import Traffic, insert, remember_progress
from marina.comparing.traffic_tables import agreements, requests, summaries

AT_ONCE = 1000
Probabilities = dict[str, FiniteFloat] | list[FiniteFloat]


class Summary(BaseModel):
    """What a version's handler says of one of its answers."""

    request_id: str = Field(min_length=1, max_length=200)
    model: str
    version: str
    kind: str = "predict"
    label: str | None = None
    probabilities: Probabilities | None = None
    seconds: FiniteFloat | None = None


def distance(one: Probabilities | None, other: Probabilities | None) -> float | None:
    """Total variation distance: half of the sum of the differences, 0 (the same) to 1; None where they cannot be compared.

    Where an answer has its best labels alone, what it leaves out counts as one more label, and the distance is the
    least that it can be.
    """
    if isinstance(one, list) and isinstance(other, list):
        if len(one) != len(other):
            return None
        one, other = ({str(index): value for index, value in enumerate(values)} for values in (one, other))
    if not isinstance(one, dict) or not isinstance(other, dict):
        return None
    named = sum(abs(one.get(label, 0.0) - other.get(label, 0.0)) for label in one.keys() | other.keys())
    return min(1.0, (named + abs(sum(one.values()) - sum(other.values()))) / 2)


def add_summaries(traffic: Traffic, found: Sequence[Summary], source: str, bytes_read: int) -> int:
    """Write down answers until they are compared, and how far the log has been read that they come from."""
    now = time.time()
    with traffic.writing() as connection:
        new = insert(connection, summaries, [one.model_dump() | {"time": now} for one in found])
        remember_progress(connection, source, bytes_read)
    return new


def join_summaries(traffic: Traffic) -> int:
    """Compare the answers that are there from both versions; returns how many requests that were.

    Which of the two the caller heard is what the gateway says of the request.
    """
    joined = 0
    while True:
        with traffic.writing() as connection:
            found = _pairs(connection)
            insert(connection, agreements, [_agreement(row) for row in found])
            _delete(connection, found)
        joined += len(found)
        if len(found) < AT_ONCE:
            return joined


def _pairs(connection: Connection) -> Sequence[Any]:
    live, shadow = summaries.alias("live"), summaries.alias("shadowed")
    same = and_(shadow.c.request_id == live.c.request_id, shadow.c.kind == live.c.kind, shadow.c.model == live.c.model)
    query = (
        select(
            live,
            shadow.c.version.label("shadow"),
            shadow.c.label.label("other_label"),
            shadow.c.probabilities.label("other_probabilities"),
            shadow.c.seconds.label("shadow_seconds"),
            requests.c.time.label("asked"),
        )
        .join(requests, requests.c.request_id == live.c.request_id)
        .join(shadow, and_(same, shadow.c.version == requests.c.shadow))
        .where(requests.c.answered == live.c.version, shadow.c.version != live.c.version)
        .limit(AT_ONCE)
    )
    return connection.execute(query).all()


def _agreement(row: Any) -> dict[str, object]:
    has_labels = row.label is not None and row.other_label is not None
    return {
        "request_id": row.request_id,
        "shadow": row.shadow,
        "kind": row.kind,
        "time": row.asked,
        "model": row.model,
        "live": row.version,
        "same_label": int(row.label == row.other_label) if has_labels else None,
        "distance": distance(row.probabilities, row.other_probabilities),
        "live_seconds": row.seconds,
        "shadow_seconds": row.shadow_seconds,
    }


def _delete(connection: Connection, pairs: Sequence[Any]) -> None:
    for start in range(0, len(pairs), 100):
        ids = [(row.request_id, row.kind) for row in pairs[start : start + 100]]
        connection.execute(delete(summaries).where(tuple_(summaries.c.request_id, summaries.c.kind).in_(ids)))
