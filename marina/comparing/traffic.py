"""The traffic record: who asked what, which arm was assigned and which answered, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from types import TracebackType
from typing import Any

from sqlalchemy import Connection, Table, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from marina.comparing.database import WRITES, database_url, open_database, plain_errors, shown
from marina.comparing.observing import BUILT_IN, ROWS_AT_ONCE, arrays, between, metrics_with_outcomes, rescued, values_of
from marina.comparing.traffic_rows import Agreement, Event, Observations, Outcome, Request, SplitChange
from marina.comparing.traffic_tables import about, agreements, events, metadata, outcomes, progress, requests, splits
from marina.errors import MarinaError
from marina.paths import State

SALT = "salt"
COUNTED = {"preserve_rowcount": True}


class Traffic:
    """The record, as a context: leaving it closes the database. Several processes may have it open, and write."""

    def __init__(self, state: State | None = None, database: str | None = None, *, create: bool = False) -> None:
        """Open it.

        Args:
            state: the folder of what a running house remembers, where the record is a file in it.
            database: where else it is; see ``database_url``.
            create: make it where nothing has been recorded yet.

        Raises:
            UsageError: no address of a database.
            MarinaError: it cannot be opened, is not there, or is not ours.
        """
        self._url = database_url(state or State(), database)
        self._engine = open_database(self._url, create=create)

    def __enter__(self) -> Traffic:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __str__(self) -> str:
        return shown(self._url)

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A look at one moment of the record."""
        with plain_errors(self._url), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A change that is made whole or not at all."""
        with plain_errors(self._url), self._engine.execution_options(**WRITES).begin() as connection:
            yield connection

    def require_salt(self, proof: str) -> None:
        """See that keys are hashed with the salt that they were hashed with before.

        Raises:
            MarinaError: it is another, so that nobody would be known again.
        """
        with self.writing() as connection:
            insert(connection, about, [{"name": SALT, "value": proof}])
            known = connection.execute(select(about.c.value).where(about.c.name == SALT)).scalar()
        if known != proof:
            raise MarinaError(
                f"{self}: its keys were hashed with another salt: bring back the state's traffic/salt (several gateways with one "
                "database have the same), or begin a new database"
            )

    def add_requests(self, rows: Sequence[Request], source: str | None = None, bytes_read: int = 0) -> int:
        """Record requests, and how far the log has been read that they come from, both or neither.

        Returns:
            How many were new: a request id is recorded once.
        """
        with self.writing() as connection:
            new = insert(connection, requests, [asdict(row) for row in rows])
            if source is not None:
                remember_progress(connection, source, bytes_read)
        return new

    def add_outcomes(self, rows: Iterable[Outcome]) -> int:
        """Record outcomes, all or none; one that is known already is replaced unless its time is later.

        Returns:
            How many were written.
        """
        written = 0
        with self.writing() as connection:
            for batch in _batches(rows):
                latest: dict[str, Outcome] = {}
                for row in batch:
                    if row.id not in latest or row.time >= latest[row.id].time:
                        latest[row.id] = row
                statement = _insert_of(connection, outcomes)
                replaced = {column.name: statement.excluded[column.name] for column in outcomes.c if column.name != "id"}
                statement = statement.on_conflict_do_update(
                    index_elements=["id"], set_=replaced, where=statement.excluded.time >= outcomes.c.time
                )
                values = [asdict(row) for row in latest.values()]
                written += connection.execute(statement, values, execution_options=COUNTED).rowcount
        return written

    def add_event(self, model: str, kind: str, text: str, at: float | None = None) -> None:
        """Record what happened: ``kind`` is one word ("rollout", "rollback"), ``text`` a sentence."""
        with self.writing() as connection:
            connection.execute(events.insert().values(time=_now(at), model=model, kind=kind, text=text))

    def add_split(self, model: str, experiment: str, weights: Mapping[str, float], at: float | None = None) -> bool:
        """Record the weights that are in force from now on; whether they are others than before."""
        with self.writing() as connection:
            last = connection.execute(
                select(splits.c.experiment, splits.c.weights)
                .where(splits.c.model == model)
                .order_by(splits.c.number.desc())
                .limit(1)
            ).first()
            if last is not None and (last.experiment, last.weights) == (experiment, dict(weights)):
                return False
            row = {"time": _now(at), "model": model, "experiment": experiment, "weights": dict(weights)}
            connection.execute(splits.insert().values(row))
        return True

    def events(self, model: str) -> list[Event]:
        """What happened to a model, in order."""
        with self.reading() as connection:
            found = connection.execute(select(events).where(events.c.model == model).order_by(events.c.time, events.c.number))
            return [Event(row.time, row.model, row.kind, row.text) for row in found]

    def splits(self, model: str, experiment: str | None = None) -> list[SplitChange]:
        """A model's splits, in the order in which they came into force."""
        query = select(splits).where(splits.c.model == model).order_by(splits.c.time, splits.c.number)
        if experiment is not None:
            query = query.where(splits.c.experiment == experiment)
        with self.reading() as connection:
            return [SplitChange(row.time, row.model, row.experiment, row.weights) for row in connection.execute(query)]

    def experiments(self, model: str) -> list[str]:
        """The experiments that requests of a model were part of, the one with the latest request first."""
        query = (
            select(requests.c.experiment)
            .where(requests.c.model == model, requests.c.experiment.is_not(None))
            .group_by(requests.c.experiment)
            .order_by(func.max(requests.c.time).desc())
        )
        with self.reading() as connection:
            return list(connection.scalars(query))

    def models(self) -> list[str]:
        """The models that were asked."""
        with self.reading() as connection:
            return list(connection.scalars(select(requests.c.model).distinct().order_by(requests.c.model)))

    def metrics(self, model: str, experiment: str) -> list[str]:
        """What can be observed: the built-in metrics, and those of which there are outcomes."""
        with self.reading() as connection:
            return [*BUILT_IN, *connection.scalars(metrics_with_outcomes(model, experiment))]

    def observations(
        self, model: str, experiment: str, metric: str, since: float | None = None, until: float | None = None
    ) -> Observations:
        """What is known of a metric.

        ``error`` is 1 where the assigned arm said 500 or above first, whatever the caller got from another arm afterwards.
        ``latency_seconds`` is of the requests that the assigned arm answered. An outcome of a key belongs to the key's last
        request before it, and without one to nothing.

        Args:
            model: whose.
            experiment: of the requests.
            metric: a built-in one, or that of outcomes.
            since: requests from then on alone, Unix seconds.
            until: requests before then alone.

        Raises:
            MarinaError: the record cannot be read.
        """
        query = between(values_of(model, experiment, metric), since, until)
        with self.reading() as connection:
            return arrays(connection, query)

    def rescued(self, model: str, experiment: str, since: float | None = None, until: float | None = None) -> dict[str, int]:
        """How many requests of each arm another version answered in its place."""
        with self.reading() as connection:
            return {row.assigned: row.count_ for row in connection.execute(rescued(model, experiment, since, until))}

    def agreements(self, model: str, since: float | None = None) -> list[Agreement]:
        """Where a version in the shadow answered too, the oldest first."""
        query = select(agreements).where(agreements.c.model == model).order_by(agreements.c.time)
        if since is not None:
            query = query.where(agreements.c.time >= since)
        with self.reading() as connection:
            return [
                Agreement(
                    row.request_id,
                    row.time,
                    row.model,
                    row.kind,
                    row.live,
                    row.shadow,
                    None if row.same_label is None else bool(row.same_label),
                    row.distance,
                    row.live_seconds,
                    row.shadow_seconds,
                )
                for row in connection.execute(query)
            ]

    def alike(self, model: str, live: str, shadow: str, since: float) -> tuple[int, int]:
        """Of the requests since a time, Unix seconds, that one version answered and another got a copy of.

        Returns:
            How many have two labels, and of how many these are the same.
        """
        query = select(func.count(agreements.c.same_label), func.coalesce(func.sum(agreements.c.same_label), 0)).where(
            agreements.c.model == model, agreements.c.time >= since, agreements.c.live == live, agreements.c.shadow == shadow
        )
        with self.reading() as connection:
            compared, same = connection.execute(query).one()
        return int(compared), int(same)

    def counts(self) -> dict[str, int]:
        """Rows by table."""
        with self.reading() as connection:
            return {
                table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in metadata.sorted_tables
                if table.name not in (about.name, progress.name)
            }

    def bytes_read(self, source: str) -> int:
        """How far a log has been read."""
        with self.reading() as connection:
            return connection.execute(select(progress.c.bytes_read).where(progress.c.source == source)).scalar() or 0

    def give_room_back(self) -> None:
        """See that what was deleted is on the disk no more: a SQLite file keeps its pages, and its log what it had."""
        if self._engine.dialect.name != "sqlite":
            return  # PostgreSQL's own autovacuum does it
        with plain_errors(self._url), self._engine.connect() as connection:
            connection.exec_driver_sql("COMMIT")
            cursor = connection.connection.cursor()  # SQLAlchemy ends a statement that has no columns before it has ended
            for pragma in ("incremental_vacuum", "wal_checkpoint(TRUNCATE)"):
                cursor.execute(f"PRAGMA {pragma}")
                cursor.fetchall()

    def forget_progress(self, source: str) -> None:
        """A log is no more."""
        with self.writing() as connection:
            connection.execute(delete(progress).where(progress.c.source == source))


def insert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert rows that are not there yet; returns how many were not."""
    if not rows:
        return 0
    statement = _insert_of(connection, table).on_conflict_do_nothing()
    return connection.execute(statement, list(rows), execution_options=COUNTED).rowcount


def remember_progress(connection: Connection, source: str, bytes_read: int) -> None:
    """Write down how far a log has been read, in the transaction that writes what was read."""
    statement = _insert_of(connection, progress).values(source=source, bytes_read=bytes_read)
    connection.execute(statement.on_conflict_do_update(index_elements=["source"], set_={"bytes_read": bytes_read}))


def _insert_of(connection: Connection, table: Table) -> Any:
    """Both databases know ON CONFLICT, each by a class of its own."""
    return (postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert)(table)


def _now(at: float | None) -> float:
    return time.time() if at is None else at


def _batches(rows: Iterable[Outcome]) -> Iterator[list[Outcome]]:
    batch: list[Outcome] = []
    for row in rows:
        batch.append(row)
        if len(batch) == ROWS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch
