"""What hypothesis makes of a valid document: the same with some of it changed, so that readers get past their first line."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

DEEP = "deep:"  # stands for so many lists within each other, which Python's own writer of JSON could not write
MARKS = (b"\x00", b"\xff", b"\n", b'"', b"{", b"[", b":", b"&a [*a]", b"\x1b[2J", b"\xed\xa0\x80", b"%s", b"=", b"\\u0000")

numbers = st.one_of(
    st.sampled_from([0, -1, 1, 2**31, 2**63, 10**30, 10**400, 10**4299, -(10**400)]),
    st.sampled_from([1e308, 1e-320, float("inf"), float("-inf"), float("nan")]),
    st.integers(-10, 1000),
    st.floats(),
)
texts = st.one_of(
    st.sampled_from(["", " ", "\ud800", "\x00", "9" * 5000, "٣", "²", "../x", "x" * 9999, "\x1b[2J", "a\nb", "1e999", "$", "∞"]),
    st.sampled_from(["data", "b64", "inputs", "light", "2026-13-45", "0x" + "f" * 5000, "null", "BYTES", "FP16"]),
    st.text(max_size=20),
)
DEPTHS = (3, 65, 300, 900, 950, 960, 970, 975, 980, 983, 986, 989, 992, 995, 100_000)  # Python reads some 990
wide = st.builds(lambda long, many: ["y" * long, *["x"] * many], st.integers(0, 10_000), st.integers(0, 1000))
weird = st.one_of(
    st.none(),
    st.booleans(),
    numbers,
    texts,
    st.sampled_from(DEPTHS).map(lambda depth: f"{DEEP}{depth}"),
    wide,
    st.sampled_from([[], {}, [[]], [None], {"b64": "="}, [[1], 2], {"": None}, {"data": {"data": 1}}]),
    st.lists(st.one_of(st.integers(-3, 300), st.floats(-1e3, 1e3)), max_size=9),
    st.recursive(
        st.none() | numbers | texts, lambda one: st.lists(one, max_size=4) | st.dictionaries(texts, one, max_size=4), max_leaves=9
    ),
)


@st.composite
def changed_documents(draw: st.DrawFn, documents: Sequence[Any], most: int = 3) -> Any:
    """One of some JSON values, with up to ``most`` of its parts replaced, renamed, doubled or left out."""
    document = copy.deepcopy(draw(st.sampled_from(documents)))
    for _ in range(draw(st.integers(0, most))):
        document = _changed(draw, document)
    return document


def _changed(draw: st.DrawFn, document: Any) -> Any:
    holder: Any = None
    key: Any = None
    found = document
    while isinstance(found, (dict, list)) and found and draw(st.integers(0, 3)):
        holder, key = found, draw(st.sampled_from(list(found) if isinstance(found, dict) else range(len(found))))
        found = holder[key]
    if holder is None:
        return copy.deepcopy(draw(weird))
    change = draw(st.sampled_from(["value", "value", "key", "gone", "twice"]))
    if change == "value":
        holder[key] = copy.deepcopy(draw(weird))  # what is drawn is hypothesis' own, and drawn again
    elif change == "gone":
        del holder[key]
    elif isinstance(holder, list):
        holder.append(found)
    else:
        holder[draw(texts)] = holder[key] if change == "twice" else holder.pop(key)
    return document


def written(document: Any) -> bytes:
    """A document as JSON, or nearly."""
    text = json.dumps(document)
    for depth in DEPTHS:
        text = text.replace(f'"{DEEP}{depth}"', "[" * depth + "]" * depth)
    return text.encode()


@st.composite
def changed_bytes(draw: st.DrawFn, contents: Sequence[bytes], most: int = 4) -> bytes:
    """One of some files, cut, with bytes or numbers overwritten, or with parts taken out, doubled or put in."""
    content = bytearray(draw(st.sampled_from(contents)))
    for _ in range(draw(st.integers(0, most))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.sampled_from([0, 1, 2, 4, 8, 30])))
        change = draw(st.sampled_from(["overwrite", "overwrite", "number", "mark", "double", "take", "cut"]))
        if change == "overwrite":
            content[start:end] = draw(st.binary(min_size=end - start, max_size=end - start))
        elif change == "number":
            size = draw(st.sampled_from([1, 2, 4, 8]))
            value = draw(st.sampled_from([0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63, 2**64 - 1]))
            content[start : start + size] = (value % 256**size).to_bytes(size, draw(st.sampled_from(["little", "big"])))
        elif change == "mark":
            content[start:start] = draw(st.sampled_from(MARKS))
        elif change == "double":
            content[start:start] = content[start:end] * draw(st.sampled_from([1, 2, 50]))
        else:
            del content[start : end if change == "take" else None]
    return bytes(content)
