"""Read the YAML files that people write, and say what is wrong in their own words."""

from __future__ import annotations

import difflib
import types
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from marina.errors import UsageError

Document = TypeVar("Document", bound=BaseModel)


class Strict(BaseModel):
    """A part of such a file: no unknown keys, no silent conversions."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def read_yaml(path: Path, kind: type[Document]) -> Document:
    """The document in ``path``, validated.

    Raises:
        UsageError: no such file, no YAML, or a document that does not fit; unknown keys are named with the nearest.
    """
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not valid YAML: {_one_line(error)}") from error
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise UsageError(f"{path}: {'; '.join(complaints(error, kind))}") from error


def complaints(error: ValidationError, kind: type[BaseModel]) -> list[str]:
    """One sentence for each thing that pydantic found wrong."""
    return [_complaint(details, kind) for details in error.errors()]


def nearest_of(name: str, known: list[str]) -> str:
    """The name that was probably meant, else all that are known."""
    nearest = difflib.get_close_matches(name, known, n=1) or [one for one in known if one.startswith(name)]
    return f"did you mean '{nearest[0]}'?" if nearest else f"known: {', '.join(known)}"


def _complaint(details: Any, kind: type[BaseModel]) -> str:
    location = [str(part) for part in details["loc"]]
    where = ".".join(location)
    if details["type"] == "extra_forbidden":
        known = _keys_at(kind, location[:-1])
        return f"unknown key '{where}': {nearest_of(location[-1], known)}"
    if details["type"] == "missing":
        return f"'{where}' is required"
    message = details["msg"].removeprefix("Value error, ")
    if details["type"] == "string_type" and isinstance(details["input"], (int, float)):
        message = f'is the number {details["input"]}; write it in quotes: "{details["input"]}"'
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


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
