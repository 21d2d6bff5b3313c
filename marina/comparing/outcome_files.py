"""Outcomes in files: CSV, Parquet, JSON lines; columns by name."""

from __future__ import annotations

import csv
import datetime
import decimal
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marina.comparing.outcome_reading import GivenOutcome, OutcomeReader
from marina.comparing.traffic_rows import Outcome
from marina.errors import UsageError
from marina.reading import nearest_of

Rows = Iterator[tuple[int, Any]]
COLUMNS = list(GivenOutcome.model_fields)
ROWS_AT_ONCE = 10_000
TRUTH = {"true": True, "false": False}
SHOWN = 10


@dataclass(frozen=True)
class OutcomeFile:
    """A file of outcomes.

    Attributes:
        path: its suffix says its form.
        metric: of all its rows, where it has no such column; the value is then in the column ``value``, or in that of this name.
        experiment: of all its rows, where it has no such column.
        ignored: columns that are no part of an outcome.
    """

    path: Path
    metric: str | None = None
    experiment: str | None = None
    ignored: tuple[str, ...] = ()

    def rows(self) -> Rows:
        """The rows with the numbers by which they are found in the file: the line, or in Parquet the row.

        Raises:
            UsageError: it is not there, not of its form, or has other columns.
        """
        reader = READERS.get(self.path.suffix.lower())
        if reader is None:
            raise UsageError(f"{self.path}: required {', '.join(READERS)}; found {self.path.suffix or 'no suffix'}")
        try:
            for number, row in reader(self.path):
                yield number, self._completed(row, number) if isinstance(row, dict) else row
        except OSError as error:
            raise UsageError(f"{self.path}: cannot be read: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise UsageError(f"{self.path}: not UTF-8") from error

    def _completed(self, row: dict[str, Any], number: int) -> dict[str, Any]:
        """The row as an outcome has it; what is empty is not there."""
        row = {name: value for name, value in row.items() if value is not None and name not in self.ignored}
        if self.metric is not None and "metric" not in row:
            row["metric"] = self.metric
            if "value" not in row and self.metric in row:
                row["value"] = row.pop(self.metric)
        if self.experiment is not None and "key" in row:
            row.setdefault("experiment", self.experiment)
        for name in row:
            if name not in COLUMNS:
                hint = nearest_of(name, COLUMNS)
                raise UsageError(f"{self.path}:{number}: unknown column '{name}': {hint}; --ignore {name} leaves it out")
        return row


def checked_outcomes(file: OutcomeFile, reader: OutcomeReader) -> Iterator[Outcome]:
    """All outcomes of a file, when each has been looked at: a file is read twice, and never held in memory.

    Raises:
        UsageError: the file is wrong, or some of its rows are; the first of them are told with their numbers.
    """
    right = sum(1 for _ in reader.rows(file.rows()))
    _require_none_refused(file, reader, right)
    return _read_again(file, reader, right)


def _read_again(file: OutcomeFile, reader: OutcomeReader, right: int) -> Iterator[Outcome]:
    """The outcomes; the file may have become another since."""
    yield from reader.rows(file.rows())
    _require_none_refused(file, reader, right)


def _require_none_refused(file: OutcomeFile, reader: OutcomeReader, right: int) -> None:
    if not reader.refused:
        return
    lines = [f"{file.path}:{one.line}: {one.reason}" for one in reader.refusals[:SHOWN]]
    more = [f"and {reader.refused - SHOWN} more"] if reader.refused > SHOWN else []
    total = right + reader.refused
    raise UsageError("\n".join([f"nothing was written: of {total} outcomes {reader.refused} are wrong", *lines, *more]))


def _csv(path: Path) -> Rows:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            for row in reader:
                if None in row:
                    raise UsageError(f"{path}:{reader.line_num}: has more columns than its first line, which names them")
                yield reader.line_num, {name: _typed(name, text) for name, text in row.items()}
        except csv.Error as error:
            raise UsageError(f"{path}:{reader.line_num + 1}: not valid CSV: {error}") from error


def _typed(column: str, text: str | None) -> object:
    """What a text of a CSV file stands for: numbers and truths where outcomes have them, else itself; None where it is empty."""
    if text is None or not text.strip():
        return None
    if column not in ("value", "time") and column in COLUMNS:
        return text
    with suppress(ValueError):
        return float(text)
    return TRUTH.get(text.strip().lower(), text)


def _json_lines(path: Path) -> Rows:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise UsageError(f"{path}:{number}: not valid JSON: {error}") from error
            yield number, row


def _parquet(path: Path) -> Rows:
    import pyarrow
    from pyarrow import parquet

    try:
        with path.open("rb") as opened, parquet.ParquetFile(opened) as file:
            number = 0
            for batch in file.iter_batches(ROWS_AT_ONCE):
                for row in batch.to_pylist():
                    number += 1
                    yield number, {name: _plain(value) for name, value in row.items()}
    except pyarrow.ArrowException as error:
        raise UsageError(f"{path}: not valid Parquet: {' '.join(str(error).split())}") from error


def _plain(value: object) -> object:
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    return float(value) if isinstance(value, decimal.Decimal) else value


READERS: dict[str, Callable[[Path], Rows]] = {
    ".csv": _csv,
    ".parquet": _parquet,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
}
