"""What is to be predicted: the files of a folder, or those that a table names."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from marina.digests import digest_of, source_files
from marina.errors import MarinaError, UsageError

TABLES = (".csv", ".parquet")


@dataclass(frozen=True)
class Inputs:
    """Files, in order.

    Attributes:
        base: the folder that relative names begin in.
        names: as the person has them; one may come several times, and need not be there.
    """

    base: Path
    names: list[str]

    @property
    def digest(self) -> str:
        """SHA-256 over names, sizes and times of change: whether these are the inputs that they were."""
        return digest_of(part for name in self.names for part in (name, _stamp(self.base / name)))


def list_inputs(source: Path, column: str) -> Inputs:
    """The inputs that a folder has, hidden files aside, or that a column of a table names.

    Args:
        source: a folder, a CSV file with a line of names at its top, or a Parquet file.
        column: of the table; its paths are relative to the table's folder.

    Raises:
        UsageError: the source is none of these, or has no such column.
        MarinaError: there is nothing to predict.
    """
    if source.is_dir():
        folder = source.resolve()
        inputs = Inputs(folder, [path.relative_to(folder).as_posix() for path in source_files(folder)])
    elif source.suffix in TABLES and source.is_file():
        inputs = Inputs(source.resolve().parent, (_of_csv if source.suffix == ".csv" else _of_parquet)(source, column))
    else:
        raise UsageError(f"{source}: a folder, or a table ({', '.join(TABLES)}), is required; found {_kind(source)}")
    if not inputs.names:
        raise MarinaError(f"{source} has no {'files' if source.is_dir() else 'rows'}: there is nothing to predict")
    return inputs


def _of_csv(source: Path, column: str) -> list[str]:
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            _check_column(source, column, list(reader.fieldnames or []))
            return [_path(source, row[column], number) for number, row in enumerate(reader, 1)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{source}: is no CSV in UTF-8: {error}") from error


def _of_parquet(source: Path, column: str) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        _check_column(source, column, pq.read_schema(source).names)
        values = pq.read_table(source, columns=[column])[column].to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{source}: is no Parquet file: {error}") from error
    return [_path(source, value, number) for number, value in enumerate(values, 1)]


def _check_column(source: Path, column: str, found: list[str]) -> None:
    if column not in found:
        raise UsageError(f"{source}: no column '{column}'; it has: {', '.join(found) or 'none'}; name one by --column")


def _path(source: Path, value: object, number: int) -> str:
    if not isinstance(value, str) or not value:
        raise UsageError(f"{source}: row {number} has no path; found {value!r}")
    return value


def _stamp(path: Path) -> str:
    try:
        found = path.stat()
    except OSError as error:
        return error.strerror or "missing"
    return f"{found.st_size} {found.st_mtime_ns}"


def _kind(source: Path) -> str:
    return f"a file of type {source.suffix or 'none'}" if source.exists() else "nothing"
