"""What a caller sent is read the same way, whatever it was wrapped in."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from handlerkit import BadRequest, Row, UnsupportedMediaType
from handlerkit.payload import binary


def row(parts: dict[str, Any], headers: dict[str, str] | None = None) -> Row:
    return Row(parts, "id", headers)


@pytest.mark.parametrize(
    "parts",
    [
        {"body": bytearray(b"abc")},
        {"data": b"abc"},
        {"file": b"abc"},
        {"anything": b"abc"},
        {"data": b"abc", "target": b"7"},
        {"body": {"data": base64.b64encode(b"abc").decode()}},
        {"body": {"image": base64.b64encode(b"abc").decode(), "target": "7"}},
        {"body": {"b64": base64.b64encode(b"abc").decode(), "target": "7"}},
        {"body": {"image": {"b64": base64.b64encode(b"abc").decode()}}},
    ],
    ids=[
        "raw body",
        "form part data",
        "form part file",
        "the only part",
        "data among parts",
        "JSON data",
        "JSON image",
        "JSON b64",
        "JSON b64 as image",
    ],
)
def test_bytes_are_found_in(parts: dict[str, Any]) -> None:
    """Raw bytes, a form's part and base64 in JSON give the same bytes."""
    assert binary(row(parts)) == b"abc"


def test_an_empty_body_is_refused() -> None:
    """A caller who forgot the file is told so, and how to send one."""
    with pytest.raises(BadRequest, match=r"empty body: send the bytes of a file, for example curl -T FILE"):
        binary(row({"body": bytearray()}))


def test_a_form_without_a_file_is_refused() -> None:
    """Curl -d sends a form that has no file; the message names the options that work."""
    with pytest.raises(BadRequest, match=r"by -T FILE or -F data=@FILE"):
        binary(row({}, {"Content-Type": "application/x-www-form-urlencoded"}))


def test_several_parts_of_unknown_names_are_refused() -> None:
    """Which of two parts is meant is not guessed."""
    with pytest.raises(BadRequest, match=r"several parts \(a, b\) and none is named data or body or image or text or file"):
        binary(row({"a": b"1", "b": b"2"}))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"data": "not base64!"}, "not base64"),
        ({"data": "AAA"}, "not base64"),
        ({"other": "AAAA"}, 'found no text under "data"'),
        ({"b64": "AAA"}, 'The text under "b64" is not base64'),
        ({"data": {"b64": [1]}}, 'Under "b64" stands base64, text; found a JSON list.'),
    ],
)
def test_json_without_base64_is_refused(body: dict[str, Any], message: str) -> None:
    """JSON must carry base64 text under "data"."""
    with pytest.raises(BadRequest, match=message):
        binary(row({"body": body}))


@pytest.mark.parametrize(
    ("body", "kind"), [("hello", "text"), ([1, 2], "a JSON list"), (3.5, "a JSON float"), ({"data": 3}, "a JSON int")]
)
def test_other_kinds_are_refused(body: Any, kind: str) -> None:
    """Text and JSON of other shapes are no file."""
    with pytest.raises(UnsupportedMediaType, match=kind):
        binary(row({"body": body}))
