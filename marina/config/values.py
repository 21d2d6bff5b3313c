"""Keys that there are, and values that they take."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterator

from marina.config.findings import Found, error, warning
from marina.config.keys import KEYS, OF_A_VERSION, OF_OTHERS, Key
from marina.config.place import Place
from marina.config.settings import WHOLE, Setting, Settings

ADDRESS = re.compile(r"((https|http)://([^:^/]+)(:([0-9]{1,9}))?)|(unix:(/.*))", re.IGNORECASE)
OF_THE_LAUNCHER = ("model_store", "vmargs", "plugins_path")
BLANKS_DO_NOT_COUNT = (*OF_THE_LAUNCHER, "metrics_mode", "models", "model_snapshot")
NEAR = 0.7
DROPPED = re.compile(r"(?<!\\)(?:\\\\)*\\(?=[A-Za-z.$^*+?()\[\]|{}])(?![tnrfu])")


def known_keys(settings: Settings, _: Place) -> Iterator[Found]:
    """Keys that TorchServe does not have: it ignores them without a word."""
    for key in settings.given:
        if key in OF_OTHERS:
            yield warning(key, OF_OTHERS[key])
        elif key not in KEYS:
            yield error(key, _meant(key))


def given_once(settings: Settings, _: Place) -> Iterator[Found]:
    """Keys that stand twice."""
    for before in settings.again:
        last = settings.given[before.key]
        yield warning(before.key, f"stands on line {before.line} too, which does not count: the last one does, {last.value!r}")


def readers_agree(settings: Settings, _: Place) -> Iterator[Found]:
    """Keys that the launcher reads, by rules that are not Java's."""
    launched = settings.of_the_launcher()
    for key in OF_THE_LAUNCHER:
        if key in settings.given and settings.given[key].value.strip() != launched.get(key, ""):
            found = f"{launched[key]!r}" if key in launched else "nothing"
            yield error(key, f"the launcher reads {found}: write {key}=VALUE, on one line, without escapes")
    for setting in settings.given.values():
        if not setting.raw.isascii() and setting.key not in OF_THE_LAUNCHER:
            yield error(setting.key, "is not ASCII, and TorchServe reads it as Latin-1: write \\uXXXX")


def values_fit(settings: Settings, _: Place) -> Iterator[Found]:
    """Values that TorchServe could not read, or would read as something else."""
    unreadable = {found.key for found in settings.wrong}
    for setting in settings.given.values():
        if setting.key in KEYS and setting.key not in unreadable:
            yield from _of(setting, KEYS[setting.key])


def _of(setting: Setting, key: Key) -> Iterator[Found]:
    where = f", in the environment as {setting.variable}" if setting.variable else ""
    if setting.value == "" and key.kind != "text":
        yield error(key.name, f"has no value{where}: give one, or delete the line")
        return
    if setting.value != setting.value.rstrip() and key.name not in BLANKS_DO_NOT_COUNT:
        yield error(key.name, f"ends with a blank, which TorchServe takes as part of the value: {setting.value!r}")
        return
    if re.fullmatch(r"([\"']).*\1", setting.value):
        yield error(key.name, f"is in quotes, which TorchServe takes as part of the value: write {setting.value[1:-1]}")
        return
    if key.kind in ("pattern", "file", "folder") and not setting.variable and (dropped := DROPPED.search(setting.raw)):
        lost = setting.raw[dropped.end() - 1 : dropped.end() + 1]
        yield error(key.name, f"TorchServe reads {lost} as {lost[1:]}: write \\{lost}")
    if wrong := CHECKS.get(key.kind, _any)(setting.value, key):
        yield error(key.name, f"{wrong}{where}")


def _meant(key: str) -> str:
    lower = key.lower().replace("-", "_").replace(".", "_").replace(" ", "_")
    versions = {re.sub("([A-Z])", r"_\1", name).lower(): name for name in OF_A_VERSION} | {
        name.lower(): name for name in OF_A_VERSION
    }
    if lower in versions:
        return f"TorchServe ignores it: it belongs to a version: write {versions[lower]} in 'models', or in model-config.yaml"
    sorted_words = {_sorted_words(name): name for name in KEYS}
    for name, known in ((lower, {name: name for name in KEYS}), (_sorted_words(lower), sorted_words)):
        if nearest := difflib.get_close_matches(name, known, n=1, cutoff=NEAR):
            return f"unknown key, which TorchServe ignores: did you mean '{known[nearest[0]]}'?"
    return "unknown key, which TorchServe 0.12.0 ignores: delete it; check_config.py --keys lists those that there are"


def _sorted_words(name: str) -> str:
    """For those who remember the words and not their order."""
    return "_".join(sorted(name.split("_")))


def _any(_: str, __: Key) -> str:
    return ""


def _yes_or_no(value: str, _: Key) -> str:
    return (
        "" if value.lower() in ("true", "false") else f"must be true or false; found {value!r}, which TorchServe takes for false"
    )


def _whole(value: str, key: Key) -> str:
    if WHOLE.fullmatch(value) and key.least <= int(value) <= key.most:
        return ""
    return f"must be a whole number, {_range(key)}; found {value!r}"


def _number(value: str, key: Key) -> str:
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?", value) and float(value) > key.least:
        return ""
    return f"must be a number above {key.least:.0f}; found {value!r}, which TorchServe takes for {key.default}"


def _port(value: str, _: Key) -> str:
    if re.fullmatch(r"[0-9]{1,9}", value) and 1 <= int(value) <= 65535:
        return ""
    return f"must be a port, 1 to 65535; found {value!r}"


def _address(value: str, _: Key) -> str:
    parts = ADDRESS.fullmatch(value)
    if parts is None:
        hint = ": write it without the slash at its end" if ADDRESS.fullmatch(value.rstrip("/")) else ""
        hint = ": TorchServe takes no IPv6 address, write a name" if "[" in value else hint
        return f"must be http://HOST:PORT, https://HOST:PORT or unix:/PATH; found {value!r}{hint}"
    if parts[5] and not 1 <= int(parts[5]) <= 65535:
        return f"must have a port, 1 to 65535; found {parts[5]}"
    return ""


def _host(value: str, _: Key) -> str:
    return (
        ""
        if re.fullmatch(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*", value)
        else (f"must be a host, without scheme and port; found {value!r}")
    )


def _one_of(value: str, key: Key) -> str:
    taken = [choice.lower() for choice in key.choices]
    found = re.sub(r"\s", "", value).lower() if key.name == "metrics_mode" else value
    found = found.lower() if key.name == "keystore_type" else found
    if found in taken:
        return ""
    instead = f", and TorchServe takes {key.default}" if key.name == "metrics_mode" else ""
    return f"must be one of {', '.join(key.choices)}; found {value!r}{instead}"


def _pattern(value: str, key: Key) -> str:
    for part in value.split(",") if key.name == "allowed_urls" else [value]:
        if wrong := broken_pattern(part):
            return f"{part!r} is no regular expression: {wrong}"
    return ""


def broken_pattern(pattern: str) -> str:
    """Why a text is no regular expression; "" where it is one."""
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as failure:
        return failure.msg if isinstance(failure, re.error) else "it is too large"
    return ""


def _json(value: str, _: Key) -> str:
    try:
        json.loads(value)
    except json.JSONDecodeError as failure:
        lost = ": a line but the last must end with \\" if "\n" not in value and value.count("{") > value.count("}") else ""
        return f"is no JSON: {failure.msg} at character {failure.pos + 1}{lost}"
    except (ValueError, RecursionError):
        return "is no JSON that can be read: its numbers are too long, or it is nested too deeply"
    return ""


def _range(key: Key) -> str:
    most = key.most
    return f"{key.least:.0f} to {most:.0f}" if most < 10**18 else f"{key.least:.0f} or more"


CHECKS: dict[str, Callable[[str, Key], str]] = {
    "yes or no": _yes_or_no,
    "whole number": _whole,
    "number": _number,
    "port": _port,
    "address": _address,
    "host": _host,
    "one of": _one_of,
    "pattern": _pattern,
    "JSON": _json,
}
