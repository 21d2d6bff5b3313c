"""Envoy's own words: what its files are made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Message = dict[str, Any]
TYPES = "type.googleapis.com/"
MILLION = 1_000_000
FOLDER = "watched"  # beside the bootstrap, where Envoy runs; nothing else is written there


def typed(kind: str, **fields: Any) -> Message:
    """A message with the name of its type, as Envoy wants it where a field takes several."""
    return {"@type": f"{TYPES}{kind}", **fields}


def extension(name: str, kind: str, **fields: Any) -> Message:
    """A part of Envoy by its name, with its settings."""
    return {"name": name, "typed_config": typed(kind, **fields)}


def watched(kind: str) -> Message:
    """A source of messages: a file that is read anew when another is renamed to its place."""
    return {
        "path_config_source": {"path": f"{FOLDER}/{kind}.json", "watched_directory": {"path": FOLDER}},
        "resource_api_version": "V3",
    }


def headers(given: dict[str, str]) -> list[Message]:
    """Headers that are set, whatever the message had."""
    return [
        {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"} for key, value in given.items()
    ]


def fraction(percent: float) -> Message:
    """A share of the requests, chosen by chance."""
    return {"default_value": {"numerator": round(percent * MILLION / 100), "denominator": "MILLION"}}


def has_header(name: str, regex: str | None = None) -> Message:
    """Matches where a header has a value that is not empty, or that a regular expression describes."""
    if regex is not None:
        return {"name": name, "string_match": {"safe_regex": {"regex": regex}}}
    return {"name": name, "string_match": {"exact": ""}, "treat_missing_header_as_empty": True, "invert_match": True}


def route_configuration(name: str, hosts: Iterable[Message]) -> Message:
    """Routes under a name."""
    return {"name": name, "virtual_hosts": list(hosts)}
