"""What the record lets go: what is older than it keeps, and all of a key that is to be forgotten."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, Table, delete, func, or_, select

from marina.comparing.traffic import Traffic
from marina.comparing.traffic_tables import agreements, outcomes, requests, summaries

AT_ONCE = 5_000  # rows; a writer in between waits no longer than they take
TIMED = (requests, outcomes, agreements)
UNMATCHED_SECONDS = 3600.0  # that an answer waits for the other version's


def expire(traffic: Traffic, keep_seconds: float, now: float) -> int:
    """Delete what is older; returns how many rows that were. Events and changes of the split say nothing of anybody, and stay."""
    gone = 0
    for table in TIMED:
        gone += _delete_before(traffic, table, now - keep_seconds)
    _delete_before(traffic, summaries, now - min(keep_seconds, UNMATCHED_SECONDS))
    if gone:
        traffic.give_room_back()
    return gone


def forget(traffic: Traffic, key: str) -> dict[str, int]:
    """Delete all rows of a hashed key, its requests' outcomes and comparisons too; returns how many, by table."""
    with traffic.writing() as connection:
        gone = {table.name: connection.execute(delete(table).where(found)).rowcount for table, found in conditions_of(key)}
    traffic.give_room_back()
    return gone


def rows_of(traffic: Traffic, key: str) -> dict[str, int]:
    """How many rows there are of a hashed key, by table."""
    with traffic.reading() as connection:
        return {table.name: _count(connection, table, found) for table, found in conditions_of(key)}


def conditions_of(key: str) -> list[tuple[Table, ColumnElement[bool]]]:
    """By what the rows of a hashed key are found in each table; requests last, as the others are found by them."""
    own = select(requests.c.request_id).where(requests.c.key == key)
    return [
        (agreements, agreements.c.request_id.in_(own)),
        (summaries, summaries.c.request_id.in_(own)),
        (outcomes, or_(outcomes.c.key == key, outcomes.c.request_id.in_(own))),
        (requests, requests.c.key == key),
    ]


def _count(connection: Connection, table: Table, found: ColumnElement[bool]) -> int:
    return connection.execute(select(func.count()).select_from(table).where(found)).scalar_one()


def _delete_before(traffic: Traffic, table: Table, before: float) -> int:
    first = table.primary_key.columns.values()[0]
    some = select(first).where(table.c.time < before).limit(AT_ONCE)
    gone = 0
    while True:
        with traffic.writing() as connection:
            deleted = connection.execute(delete(table).where(first.in_(some), table.c.time < before)).rowcount
        gone += deleted
        if not deleted:
            return gone
