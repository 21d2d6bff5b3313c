"""Where the traffic is stored: a SQLite file, or a PostgreSQL that several gateways share."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from marina.comparing.traffic_settings import TrafficSettings
from marina.comparing.traffic_tables import SCHEMA, about, metadata
from marina.errors import MarinaError, UsageError
from marina.paths import State

FILE = "traffic.db"
VARIABLE = "TRAFFIC_DATABASE"
WAIT_SECONDS = 30  # for another process that writes
MARK = "marina traffic"
WRITES = {"marina_writes": True}

SQLITE_SAYS = (  # a part of what it says, what that means
    ("not a database", "is not a SQLite database: move it away, or name another with --database"),
    ("malformed", "is damaged: move it away, or bring back a copy"),
    ("database is locked", f"another process has been writing to it for {WAIT_SECONDS} s: see who does, and try again"),
    ("disk is full", "the disk is full: make room"),
    ("disk i/o", "the disk cannot be read or written (full, or broken)"),
    ("readonly", "may not be written: give this user the right, or name another with --database"),
    ("unable to open", "cannot be opened: its folder is missing, or this user may not"),
)


def database_url(state: State, given: str | None = None) -> URL:
    """Where the traffic is stored: as given, else as TRAFFIC_DATABASE in the environment or ``.env`` says, else in the state.

    Args:
        state: the folder of what a running house remembers.
        given: ``postgresql://user@host/name`` or the path of a SQLite file, as an option of a command.

    Raises:
        UsageError: it is no address of a database, or has a password where everybody on the machine sees it.
    """
    text = given or TrafficSettings().traffic_database
    if not text:
        return _file_url(state.traffic / FILE)
    if "://" not in text:
        return _file_url(Path(text))
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise UsageError(f"{VARIABLE} is no address of a database: required postgresql://user@host/name, or a file") from error
    if given and url.password:
        raise UsageError(
            f"a password in a command is seen by everybody on this machine: set {VARIABLE} in its place, or PGPASSFILE"
        )
    if url.drivername not in ("postgresql", "postgresql+psycopg"):
        raise UsageError(f"required postgresql://user@host/name, or a file; found {url.drivername}://")
    return url.set(drivername="postgresql+psycopg")


def open_database(url: URL, *, create: bool) -> Engine:
    """An engine on a database whose tables are there and are those that we know.

    Args:
        url: from ``database_url``.
        create: make it where it is not there.

    Raises:
        MarinaError: it cannot be opened, is not there, is another program's, or a newer Marina's.
    """
    if url.database and url.drivername == "sqlite":
        _prepare_file(Path(url.database), create=create)
    engine = create_engine(url, connect_args=_connect_arguments(url), pool_pre_ping=url.drivername != "sqlite")
    if url.drivername == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin)
    try:
        with plain_errors(url), engine.connect() as connection:
            found = inspect(connection).get_table_names()
            if not found and not create:
                raise MarinaError(f"{shown(url)}: no traffic has been recorded yet: `make serve` starts the recorder")
        if not found:
            _make_tables(engine)
        _check_schema(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


@contextmanager
def plain_errors(url: URL) -> Iterator[None]:
    """What a database complains of, as one line of ours.

    Raises:
        MarinaError: the database refused.
    """
    try:
        yield
    except SQLAlchemyError as error:
        raise MarinaError(f"{shown(url)}: {_reason(error)}") from error


def shown(url: URL) -> str:
    """The address, as it may be shown."""
    if url.drivername == "sqlite":
        return str(url.database)
    return url.set(drivername="postgresql").render_as_string(hide_password=True)


def _file_url(path: Path) -> URL:
    return URL.create("sqlite", database=str(path.absolute()))


def _prepare_file(path: Path, *, create: bool) -> None:
    """Hashed or not, who asked for what is nobody else's business: others may not read it."""
    if path.is_file():
        return
    if not create:
        raise MarinaError(f"{path}: no traffic has been recorded yet: `make serve` starts the recorder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise MarinaError(f"{path}: cannot be made: {error.strerror}") from error


def _connect_arguments(url: URL) -> dict[str, Any]:
    return {"timeout": WAIT_SECONDS} if url.drivername == "sqlite" else {"connect_timeout": 10}


def _set_up_sqlite(connection: sqlite3.Connection, _: object) -> None:
    """Transactions are ours to begin; what is deleted is overwritten; a commit is on the disk when it returns."""
    connection.isolation_level = None
    for pragma in ("auto_vacuum=INCREMENTAL", "journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
        try:
            connection.execute(f"PRAGMA {pragma}")
        except sqlite3.OperationalError as error:  # to read a file that may not be written needs none of them
            if "readonly" not in str(error):
                raise


def _begin(connection: Connection) -> None:
    """A writer takes its turn at once: one that first reads and then writes is refused where another wrote in between."""
    writes = connection.get_execution_options().get("marina_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _make_tables(engine: Engine) -> None:
    with plain_errors(engine.url), engine.execution_options(**WRITES).begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(4726)")  # one recorder makes the tables
        if not inspect(connection).get_table_names():
            metadata.create_all(connection)
            connection.execute(about.insert().values(name=MARK, value=str(SCHEMA)))


def _check_schema(engine: Engine) -> None:
    with plain_errors(engine.url), engine.connect() as connection:
        known = about.name in inspect(connection).get_table_names()
        found = connection.execute(select(about.c.value).where(about.c.name == MARK)).scalar() if known else None
    if found is None:
        raise MarinaError(f"{shown(engine.url)}: is another program's database: name another with --database")
    if int(found) > SCHEMA:
        raise MarinaError(f"{shown(engine.url)}: is a newer Marina's (schema {found}; this one knows {SCHEMA}): update Marina")


def _reason(error: SQLAlchemyError) -> str:
    said = " ".join(str(error.orig if isinstance(error, DBAPIError) else error).split())
    return next((means for part, means in SQLITE_SAYS if part in said.lower()), said)
