"""Read the YAML files that people write, and say what is wrong in their own words."""

from __future__ import annotations

import difflib
import re
import types
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML

from marina.errors import UsageError

Document = TypeVar("Document", bound=BaseModel)
MOST_VALUES = 100_000  # of a document, those behind an anchor counted wherever they are named
MOST_DEEP = 100
BRACKETS = re.compile(r"[\[{}\]]")
MOST_COMPLAINTS = 20
LONGEST_COMPLAINT = 600
LONGEST_PART = 60  # of a place in a document


class NotYaml(ValueError):
    """A text that is no YAML, or unfolds to more than a person writes; the message is one line."""


class Strict(BaseModel):
    """A part of such a file: no unknown keys, no silent conversions."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def read_yaml(path: Path, kind: type[Document]) -> Document:
    """The document in ``path``, validated.

    Raises:
        UsageError: no such file, no YAML, or a document that does not fit; unknown keys are named with the nearest.
    """
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except (NotYaml, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not valid YAML: {one_line(error)}") from error
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise UsageError(f"{path}: {'; '.join(complaints(error, kind))}") from error


def parse_yaml(text: str, kind: Literal["safe", "rt"] = "safe") -> Any:
    """What a YAML text says; with kind ``rt`` its parts know where they stand.

    Raises:
        NotYaml: it is none, is nested too deeply, or unfolds to more than MOST_VALUES.
    """
    if _deepest(text) > MOST_DEEP:
        raise NotYaml(f"its brackets are nested deeper than {MOST_DEEP} times")  # of which the reader makes minutes
    try:
        content = YAML(typ=kind, pure=True).load(text)
    except RecursionError as error:
        raise NotYaml("it is nested too deeply") from error
    except Exception as error:  # beside its own errors ruamel hands on what int() and datetime() have to say of a value
        raise NotYaml(one_line(error)[:LONGEST_COMPLAINT] or type(error).__name__) from error
    if _unfolded(content, {}) > MOST_VALUES:
        raise NotYaml(f"its anchors unfold to more than {MOST_VALUES} values")
    return content


def complaints(error: ValidationError, kind: type[BaseModel]) -> list[str]:
    """One sentence for each of the first things that pydantic found wrong."""
    found = error.errors(include_url=False)
    more = [f"and {len(found) - MOST_COMPLAINTS} more"] if len(found) > MOST_COMPLAINTS else []
    return [*(_complaint(details, kind) for details in found[:MOST_COMPLAINTS]), *more]


def one_line(text: object) -> str:
    """A text in one line, with nothing in it that moves a terminal's cursor, or that cannot be written."""
    words = " ".join(str(text).split())
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in words)


def shown(value: object, most: int = 60) -> str:
    """The beginning of a value as Python writes it, in one line; of one that Python cannot write, its kind."""
    try:
        return one_line(repr(value))[:most]
    except (ValueError, RecursionError):  # thousands of digits, hundreds of lists within each other
        return f"a {type(value).__name__} that is too large to show"


def nearest_of(name: str, known: list[str]) -> str:
    """The name that was probably meant, else all that are known."""
    nearest = difflib.get_close_matches(name, known, n=1) or [one for one in known if one.startswith(name)]
    return f"did you mean '{nearest[0]}'?" if nearest else f"known: {', '.join(known)}"


def _complaint(details: Any, kind: type[BaseModel]) -> str:
    location = [str(part)[:LONGEST_PART] for part in details["loc"]]
    return one_line(_said(details, location, kind))[:LONGEST_COMPLAINT]


def _said(details: Any, location: list[str], kind: type[BaseModel]) -> str:
    where = ".".join(location)
    if details["type"] == "extra_forbidden":
        known = _keys_at(kind, location[:-1])
        return f"unknown key '{where}': {nearest_of(location[-1], known)}"
    if details["type"] == "missing":
        return f"'{where}' is required"
    message = details["msg"].removeprefix("Value error, ")
    if details["type"] == "string_type" and isinstance(details["input"], (int, float)):
        number = shown(details["input"])
        message = f'is the number {number}; write it in quotes: "{number}"'
    return f"'{where}': {message}" if where else message


def _keys_at(kind: type[BaseModel], location: list[str]) -> list[str]:
    current: Any = kind
    for part in location:
        if isinstance(current, type) and issubclass(current, BaseModel):
            current = current.model_fields[part].annotation if part in current.model_fields else None
        elif get_origin(current) is dict:
            current = get_args(current)[1]
        if get_origin(current) in (Union, types.UnionType):
            current = next(one for one in get_args(current) if one is not type(None))
    if not (isinstance(current, type) and issubclass(current, BaseModel)):
        return []
    return sorted(field.alias or name for name, field in current.model_fields.items())


def _deepest(text: str) -> int:
    """How deep brackets are within each other; those in texts count, too."""
    return max(accumulate(1 if one in "[{" else -1 for one in BRACKETS.findall(text)), default=0)


def _unfolded(value: Any, known: dict[int, int]) -> int:
    """How many values one is; a value that is within itself has no end."""
    if not isinstance(value, (dict, list)):
        return 1
    if id(value) not in known:
        known[id(value)] = MOST_VALUES + 1  # while it is looked at: whoever meets it then is within it
        known[id(value)] = 1 + sum(_unfolded(one, known) for one in (value.values() if isinstance(value, dict) else value))
    return known[id(value)]
