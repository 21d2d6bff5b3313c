"""Callers' keys: brought by the operator, in a file or the environment, each by a name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from marina.errors import UsageError
from marina.gateway.messages import Message, typed

FILE, GIVEN = "GATEWAY_KEYS_FILE", "GATEWAY_KEYS"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
HEXADECIMAL = re.compile(r"[0-9a-fA-F]{32,}")  # 4 bits a character: 128
LETTERS = re.compile(r"[A-Za-z0-9._~+/=-]{22,}")  # some 6 bits a character: 128
DIFFERENT = 10  # characters of a key that was drawn at random


@dataclass(frozen=True)
class Key:
    """A caller's key; its text is shown by nothing."""

    name: str
    text: str

    def __repr__(self) -> str:
        return f"Key({self.name})"


def keys_file(written: str | None, environment: Mapping[str, str], folder: Path) -> Path | None:
    """The file of keys that is meant: the environment's, else the settings'.

    Args:
        written: in the settings, relative to ``folder``.
        environment: of the process.
        folder: where relative names begin.
    """
    name = environment.get(FILE) or (None if environment.get(GIVEN) else written)
    return folder / name if name else None


def read_keys(file: Path | None, environment: Mapping[str, str]) -> list[Key]:
    """The callers' keys, of a file or of GATEWAY_KEYS; none where there is neither.

    Raises:
        UsageError: the file cannot be read, others may read it, or a line is wrong. No message has a key in it.
    """
    if file is None:
        text = environment.get(GIVEN, "").replace(",", "\n")
        return _keys(text, GIVEN) if text.strip() else []
    try:
        text = file.read_text(encoding="utf-8")
        is_open = file.stat().st_mode & 0o077
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UsageError(f"{file}: the gateway's keys cannot be read: {reason}; scripts/make_key.py makes one") from error
    if is_open:
        raise UsageError(f"{file}: the gateway's keys must be their owner's alone: chmod 600 {file}")
    return _keys(text, str(file))


def _keys(text: str, where: str) -> list[Key]:
    lines = enumerate(text.splitlines(), 1)
    keys = [_key(line.strip(), f"{where}, line {number}") for number, line in lines if line.strip() and line.strip()[0] != "#"]
    if not keys:
        raise UsageError(f"{where}: at least one key is required, as a line 'name: key'; found none")
    for index, key in enumerate(keys):
        same = next((one for one in keys[:index] if one.text == key.text), None)
        if same:
            raise UsageError(f"{where}: {same.name} and {key.name} have the same key: give each its own")
    return keys


def _key(line: str, where: str) -> Key:
    name, colon, text = (part.strip() for part in line.partition(":"))
    if not colon or NAME.fullmatch(name) is None:
        raise UsageError(f"{where}: a line is 'name: key', the name of letters, digits, '.', '_' and '-'")
    if not (HEXADECIMAL.fullmatch(text) or (LETTERS.fullmatch(text) and re.search("[g-zG-Z]", text))) or len({*text}) < DIFFERENT:
        raise UsageError(
            f"{where}: the key of {name} must have 128 random bits, 32 hexadecimal characters or 22 letters and digits; "
            f"found {len(text)} characters, {len({*text})} of them different: scripts/make_key.py makes one"
        )
    return Key(name, text)


def key_filter(keys: list[Key]) -> Message:
    """Envoy's settings for the filter that asks for a key; it takes it out of the request."""
    known = typed(
        "envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth",
        credentials=[{"key": key.text, "client": key.name} for key in keys],
        key_sources=[{"header": "authorization"}],
        forwarding={"hide_credentials": True},
    )
    return typed("envoy.config.core.v3.TypedExtensionConfig", name="keys", typed_config=known)
