"""Options that a request sets for itself alone, in place of the archive's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from handlerkit.batch import Row
from handlerkit.errors import BadRequest, shown


def whole_number(row: Row, name: str, default: int, least: int, most: int) -> int:
    """A whole number that the request names, else the default.

    Raises:
        BadRequest: it is none, or not from ``least`` to ``most``.
    """
    value = row.option(name)
    return default if value is None else int(_within(name, value, int, (least, most)))


def number(row: Row, name: str, default: float, least: float, most: float) -> float:
    """A number that the request names, else the default.

    Raises:
        BadRequest: it is none, or not from ``least`` to ``most``.
    """
    value = row.option(name)
    return default if value is None else _within(name, value, float, (least, most))


def one_of(row: Row, name: str, default: str, known: Sequence[str]) -> str:
    """One of some words that the request names, else the default.

    Raises:
        BadRequest: it is none of them.
    """
    value = row.option(name)
    if value is not None and value not in known:
        raise BadRequest(f"'{name}' must be {' or '.join(known)}; found {shown(value)}.")
    return default if value is None else str(value)


def _within(name: str, value: Any, kind: type[int] | type[float], bounds: tuple[float, float]) -> float:
    try:
        found = kind(value)
    except (TypeError, ValueError, OverflowError):
        found = None
    if found is None or not bounds[0] <= found <= bounds[1]:
        raise BadRequest(f"'{name}' must be a number from {bounds[0]} to {bounds[1]}; found {shown(value)}.")
    return found
