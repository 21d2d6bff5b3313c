"""Write a table of the traffic record to a Parquet file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sqlalchemy import Double, Integer, Select, Table, select

from marina.comparing.keeping import conditions_of
from marina.comparing.traffic import Traffic
from marina.comparing.traffic_tables import agreements, events, outcomes, requests, splits

TABLES = {table.name: table for table in (requests, outcomes, agreements, events, splits)}
ROWS_AT_ONCE = 50_000


def rows_to_export(table: str, model: str | None = None, since: float | None = None, key: str | None = None) -> Select[Any]:
    """The query of a table's rows.

    Args:
        table: one of TABLES.
        model: of this one alone; outcomes are of no model but by their requests, and are not chosen by it.
        since: from this time on, Unix seconds.
        key: of this hashed key alone.
    """
    found = TABLES[table]
    query = select(found).order_by(found.c.time)
    if model is not None and "model" in found.c:
        query = query.where(found.c.model == model)
    if since is not None:
        query = query.where(found.c.time >= since)
    if key is not None:
        query = query.where(next(condition for one, condition in conditions_of(key) if one is found))
    return query


def export(traffic: Traffic, table: str, query: Select[Any], path: Path) -> int:
    """Write rows to a file, which is there whole or as it was before; returns how many there were.

    Raises:
        MarinaError: the record cannot be read.
        OSError: the file cannot be written.
    """
    import pyarrow
    from pyarrow import parquet

    schema = _schema(TABLES[table])
    unfinished = path.with_name(f".{path.name}.unfinished")
    count = 0
    try:
        with traffic.reading() as connection, parquet.ParquetWriter(unfinished, schema, compression="zstd") as writer:
            for rows in connection.execute(query.execution_options(yield_per=ROWS_AT_ONCE)).mappings().partitions():
                columns = [[_value(row[field.name], field.name) for row in rows] for field in schema]
                writer.write_table(pyarrow.table(columns, schema=schema))
                count += len(rows)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return count


def _schema(table: Table) -> Any:
    import pyarrow

    kinds = {Double: pyarrow.float64(), Integer: pyarrow.int64()}
    times = pyarrow.timestamp("us", tz="UTC")
    return pyarrow.schema(
        [(column.name, times if column.name == "time" else kinds.get(type(column.type), pyarrow.string())) for column in table.c]
    )


def _value(value: Any, column: str) -> Any:
    if column == "time":
        return round(value * 1e6)
    return json.dumps(value) if isinstance(value, dict) else value
