"""A real PostgreSQL for tests, where the machine has one; its data lie in a folder of their own."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from marina.serving.free_ports import free_ports

START_SECONDS = "60"
NAMED = "/usr/lib/postgresql/*/bin"


@dataclass(frozen=True)
class PostgreSQL:
    """A running server."""

    port: int
    password: str

    def url(self, name: str, password: str | None = None) -> str:
        """Address of a database."""
        return f"postgresql://marina:{password or self.password}@127.0.0.1:{self.port}/{name}"

    def new_database(self) -> str:
        """Make an empty database; returns its address."""
        name = f"traffic_{secrets.token_hex(4)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)


def programs() -> Path | None:
    """The folder of PostgreSQL's programs: Debian keeps them off the path."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else sorted(Path("/").glob(NAMED.lstrip("/")))
    return folders[-1] if folders else None


@contextmanager
def postgresql(folder: Path) -> Iterator[PostgreSQL]:
    """Start a server, as another user where we are root, as whom it refuses to run."""
    user = "postgres" if os.geteuid() == 0 else None
    data = Path(tempfile.mkdtemp(prefix="marina-postgres-", dir="/tmp"))
    port, password = free_ports().recorder_port, secrets.token_hex(8)
    (data / "password").write_text(password)
    if user:
        shutil.chown(data, user)
        shutil.chown(data / "password", user)

    def call(program: str, *arguments: str | Path) -> None:
        command = [str(folder / program), "-D", str(data / "cluster"), *map(str, arguments)]
        subprocess.run(command, user=user, cwd=data, check=True, stdout=subprocess.DEVNULL, timeout=120)

    try:
        call("initdb", "-U", "marina", "-A", "scram-sha-256", "--pwfile", data / "password", "--no-sync")
        settings = f"-p {port} -h 127.0.0.1 -k {data} -F"
        call("pg_ctl", "start", "-w", "-t", START_SECONDS, "-l", data / "log", "-o", settings)
        try:
            yield PostgreSQL(port, password)
        finally:
            call("pg_ctl", "stop", "-m", "immediate")
    finally:
        shutil.rmtree(data, ignore_errors=True)
