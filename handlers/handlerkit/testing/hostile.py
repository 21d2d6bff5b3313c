"""Rows that no client of good will sends, made of one that a client might."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

MOST_BYTES = 4096
DEEP = 100
TOO_DEEP = 10_000  # Python's JSON reader gives up before, and TorchServe then hands on the bytes
HUGE = 10**400
WEIRD: tuple[Any, ...] = (
    None,
    True,
    -1,
    HUGE,
    1e308,
    float("inf"),
    float("nan"),
    "",
    "\ud800",
    "x" * 9999,
    [],
    [[]],
    {},
    {"b64": "="},
)

Named = tuple[str, dict[str, Any]]


def hostile_rows(good: Mapping[str, Any], count: int, seed: int = 0) -> Iterator[Named]:
    """What a hostile client might send in place of a good row, each with a name; the same for the same seed.

    Args:
        good: a row that is answered, its parts by name.
        count: how many. The first ones are always the same: nothing, deep and wrong JSON, huge numbers, KServe's envelopes
            around nonsense; the others are random bytes, and truncated, spoiled and rewritten copies of the good row.
        seed: of what is random.
    """
    chance = random.Random(seed)  # noqa: S311 - nothing secret
    yield from _always()[:count]
    for _ in range(count - len(_always())):
        yield chance.choice([_noise, _variant, _variant, _variant])(chance, good)


def _always() -> list[Named]:
    bodies: dict[str, Any] = {
        "an empty body": bytearray(),
        "a zero byte": bytearray(1),
        f"JSON {TOO_DEEP} deep": bytearray(b'{"data":' * TOO_DEEP + b"1" + b"}" * TOO_DEEP),
        f"JSON {DEEP} deep": _nested(DEEP),
        "a JSON number of 400 digits": HUGE,
        "JSON NaN": float("nan"),
        "JSON null": None,
        "JSON true": True,
        "JSON []": [],
        "JSON {}": {},
        "JSON text that is half a character": "\ud800",
        '{"data": null}': {"data": None},
        '{"data": {"data": …}}': {"data": _nested(DEEP)},
        '{"instances": null}': {"instances": None},
        '{"instances": [null]}': {"instances": [None]},
        '{"instances": [{"b64": 1}]}': {"instances": [{"b64": 1}]},
        '{"inputs": [null]}': {"inputs": [None]},
        "a KServe tensor of 10**18 values": {"inputs": [{"name": "x", "shape": [10**9] * 2, "datatype": "FP32", "data": []}]},
    }
    named: list[Named] = [(name, {"body": body}) for name, body in bodies.items()]
    return [("no parts", {}), ("parts of unknown names", {"\x00": bytearray(b"?"), "..": "text"}), *named]


def _noise(chance: random.Random, _: Mapping[str, Any]) -> Named:
    size = chance.choice([1, 2, 16, chance.randint(3, MOST_BYTES)])
    return f"{size} random bytes", {"body": bytearray(chance.randbytes(size))}


def _variant(chance: random.Random, good: Mapping[str, Any]) -> Named:
    """A copy of the good row with one part changed."""
    name = chance.choice(list(good))
    value = good[name]
    if not value or not isinstance(value, (bytes, bytearray, str)):
        changed, path = _rewritten(chance, copy.deepcopy(value))
        return f"'{name}' with another value at {path or 'its top'}", {**good, name: changed}
    change = chance.choice(CHANGES)
    said, changed = change(chance, bytearray(value.encode("utf-8") if isinstance(value, str) else value))
    return f"'{name}' {said}", {**good, name: changed}


def _truncated(chance: random.Random, content: bytearray) -> tuple[str, bytearray]:
    end = chance.randrange(len(content))
    return f"truncated to {end} of {len(content)} bytes", content[:end]


def _spoiled(chance: random.Random, content: bytearray) -> tuple[str, bytearray]:
    places = [chance.randrange(len(content)) for _ in range(chance.randint(1, 30))]
    for place in places:
        content[place] = chance.randrange(256)
    return f"with {len(places)} bytes changed", content


def _inserted(chance: random.Random, content: bytearray) -> tuple[str, bytearray]:
    place, more = chance.randrange(len(content)), chance.randbytes(chance.randint(1, 99))
    return f"with {len(more)} bytes put in at {place}", content[:place] + more + content[place:]


CHANGES: list[Callable[[random.Random, bytearray], tuple[str, bytearray]]] = [_truncated, _spoiled, _inserted]


def _rewritten(chance: random.Random, value: Any) -> tuple[Any, str]:
    """A JSON value with something else somewhere in it, and where."""
    if isinstance(value, (dict, list)) and value and chance.random() < 0.8:
        key = chance.choice(list(value)) if isinstance(value, dict) else chance.randrange(len(value))
        value[key], path = _rewritten(chance, value[key])
        return value, f"[{key!r}]{path}"
    if isinstance(value, (list, str)) and value and chance.random() < 0.5:
        return value[: chance.randrange(len(value))], ""
    return chance.choice(WEIRD), ""


def _nested(depth: int) -> Any:
    document: Any = 1
    for level in range(depth):
        document = [document] if level % 2 else {"data": document}
    return document
