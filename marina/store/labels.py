"""Names of classes as a spec has them: a list, or a file in either form of TorchServe's ``index_to_name.json``."""

from __future__ import annotations

import json
from typing import Any

from marina.errors import UsageError
from marina.store.spec import SpecFile

Entries = list[str] | list[list[str]]


def read_labels(found: SpecFile) -> Entries | None:
    """The labels that the spec names, by index: names, or pairs of id and name; None where it names none.

    Raises:
        UsageError: the file is none of ``["a", …]``, ``{"0": "a", …}`` and ``{"0": ["id", "a"], …}``.
    """
    if not isinstance(found.spec.labels, str):
        return found.spec.labels
    path = found.beside(found.spec.labels)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        entries = content if isinstance(content, list) else [content[str(index)] for index in range(len(content))]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f'{path}: required ["a", …], {{"0": "a", …}} or {{"0": ["id", "a"], …}}; {error}') from error
    if not all(_is_entry(one) for one in entries) or len({type(one) for one in entries}) != 1:
        raise UsageError(f"{path}: every class must have a name, or every class an id and a name")
    return [str(one) for one in entries] if isinstance(entries[0], str) else entries


def _is_entry(one: Any) -> bool:
    return isinstance(one, str) or (isinstance(one, list) and len(one) == 2 and all(isinstance(part, str) for part in one))
