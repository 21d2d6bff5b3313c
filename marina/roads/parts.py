"""A run's parts on disk: ranges of inputs, each written whole or not at all, put together in order when all are there.

A part's range does not depend on how many processes there are, so that a run may go on with another number of them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ValidationError

from marina.digests import digest_of
from marina.errors import MarinaError
from marina.roads.listing import Inputs

PLAN, INPUTS = "plan.json", "inputs.parquet"
RUN = b"marina.run"  # in the metadata of a finished table: which run it is of
SCHEMA = pa.schema(
    [
        pa.field("index", pa.int64(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("status", pa.int16()),
        pa.field("label", pa.string()),
        pa.field("answer", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("version", pa.string()),
    ]
)


class Plan(BaseModel):
    """What a run computes.

    Attributes:
        run: tells it from every other: a digest of archive and inputs.
        archive: the archive's path.
        base: the folder that the inputs' names begin in.
        rows: number of inputs.
        part_rows: of each part but the last.
        batch_rows: most that are computed together.
    """

    run: str
    archive: str
    base: str
    rows: int
    part_rows: int
    batch_rows: int


@dataclass(frozen=True)
class Parts:
    """The folder of a run."""

    folder: Path

    @cached_property
    def plan(self) -> Plan:
        """What is computed.

        Raises:
            MarinaError: the folder has no plan that can be read.
        """
        try:
            return Plan.model_validate_json((self.folder / PLAN).read_bytes())
        except (OSError, ValidationError) as error:
            raise MarinaError(f"{self.folder} is no run's folder ({type(error).__name__}): remove it") from error

    @property
    def is_planned(self) -> bool:
        """Whether a run has begun here."""
        return (self.folder / PLAN).is_file()

    def begin(self, plan: Plan, inputs: Inputs) -> None:
        """Write a plan into a new folder; it holds once it is all there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        _write(pa.table({"source": inputs.names}), self.folder / INPUTS)
        partial = self.folder / f"{PLAN}.partial"
        partial.write_text(plan.model_dump_json(indent=2), encoding="utf-8")
        partial.replace(self.folder / PLAN)

    def sources(self) -> list[str]:
        """The inputs' names, in order."""
        names: list[str] = pq.read_table(self.folder / INPUTS)["source"].to_pylist()
        return names

    @property
    def count(self) -> int:
        """How many parts there are in all."""
        return -(-self.plan.rows // self.plan.part_rows)

    def range_of(self, part: int) -> range:
        """The indices of a part's inputs."""
        return range(part * self.plan.part_rows, min(self.plan.rows, (part + 1) * self.plan.part_rows))

    def path_of(self, part: int) -> Path:
        """Where a part is, once it is complete."""
        return self.folder / f"part-{part:06}.parquet"

    def missing(self) -> list[int]:
        """The parts that are not there, or are not whole; these are removed."""
        return [part for part in range(self.count) if not self._is_whole(part)]

    def rows_written(self) -> int:
        """How many inputs are in parts that are there; these are not looked into."""
        return sum(len(self.range_of(part)) for part in range(self.count) if self.path_of(part).exists())

    def write(self, part: int, rows: Sequence[dict[str, object]]) -> None:
        """Put a part in place in one step.

        Args:
            part: its number.
            rows: of SCHEMA, one for each of its inputs, in order.
        """
        _write(pa.Table.from_pylist(list(rows), SCHEMA), self.path_of(part))

    def tables(self) -> Iterator[pa.Table]:
        """All parts, in order.

        Raises:
            MarinaError: one has other inputs than it must.
        """
        for part in range(self.count):
            table = pq.read_table(self.path_of(part))
            if table["index"].to_pylist() != list(self.range_of(part)):
                raise MarinaError(f"{self.path_of(part)} has not the inputs that it must have: remove it and run again")
            yield table

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder)

    def _is_whole(self, part: int) -> bool:
        path = self.path_of(part)
        if not path.exists():
            return False
        try:
            whole = bool(
                pq.read_table(path).schema.equals(SCHEMA) and pq.read_metadata(path).num_rows == len(self.range_of(part))
            )
        except (pa.ArrowException, OSError):
            whole = False
        if not whole:
            path.unlink()
        return whole


def run_digest(archive_sha256: str, inputs: Inputs) -> str:
    """What tells a run from every other."""
    return digest_of([archive_sha256, str(inputs.base), inputs.digest])


def run_of(output: Path) -> str | None:
    """The run that a finished table is of; None where it is of none."""
    try:
        return (pq.read_schema(output).metadata or {}).get(RUN, b"").decode() or None
    except (pa.ArrowException, OSError):
        return None


def put_together(parts: Parts, output: Path) -> dict[str, int]:
    """One table of all parts, in order; in place in one step.

    Returns:
        How many inputs there were of each status; those that could not be read under ``unreadable``.

    Raises:
        MarinaError: a part has other inputs than it must.
    """
    partial, counts = output.with_name(f".{output.name}.partial"), dict[str, int]()
    schema = SCHEMA.with_metadata({RUN: parts.plan.run.encode()})
    with pq.ParquetWriter(partial, schema) as writer:
        for table in parts.tables():
            writer.write_table(table.replace_schema_metadata(schema.metadata))
            for status in table["status"].to_pylist():
                counts["unreadable" if status is None else str(status)] = counts.get(str(status or "unreadable"), 0) + 1
    partial.replace(output)
    return counts


def _write(table: pa.Table, path: Path) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with partial.open("wb") as file:
        pq.write_table(table, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
