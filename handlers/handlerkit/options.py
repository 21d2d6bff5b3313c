"""Options of a handler: a frozen dataclass, read from the archive's model-config.yaml and checked at load."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

Options = TypeVar("Options")


class OptionError(ValueError):
    """An option that a handler does not have, or a value that it cannot take; raised at load."""


def read_options(kind: type[Options], given: Mapping[str, Any]) -> Options:
    """An instance of the dataclass ``kind`` with the values ``given``; what is not given keeps its default.

    Raises:
        OptionError: a name that ``kind`` does not have (the nearest is named), or a value it refuses.
    """
    known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]  # any dataclass
    for name in given:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1)
            meant = f"did you mean '{nearest[0]}'?" if nearest else f"known: {', '.join(known)}"
            raise OptionError(f"unknown option '{name}': {meant}")
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise OptionError(f"options: {error}") from error


def check_whole(name: str, value: object, least: int) -> None:
    """See that an option is a whole number.

    Raises:
        ValueError: it is none, or below ``least``.
    """
    if type(value) is not int or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")
