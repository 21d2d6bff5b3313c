"""Read the constants of a compiled Java class, so that our tables can be compared with TorchServe's jar."""

from __future__ import annotations

import struct
import zipfile
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

STRING, UTF8, LONG_AND_DOUBLE = 8, 1, (5, 6)
SIZES = {3: 5, 4: 5, 5: 9, 6: 9, 7: 3, 8: 3, 9: 5, 10: 5, 11: 5, 12: 5, 15: 4, 16: 3, 17: 5, 18: 5, 19: 3, 20: 3}


@dataclass
class JavaClass:
    """What a class file has of constants.

    Attributes:
        strings: every string of its code.
        fields: its constant fields of strings, by name.
    """

    strings: set[str] = field(default_factory=set)
    fields: dict[str, str] = field(default_factory=dict)


def java_class(name: str) -> JavaClass:
    """A class of the installed TorchServe's jar, for example ``org/pytorch/serve/util/ConfigManager``."""
    spec = find_spec("ts")
    assert spec is not None
    assert spec.origin is not None
    with zipfile.ZipFile(Path(spec.origin).parent / "frontend" / "model-server.jar") as jar:
        return _read(jar.read(f"{name}.class"))


def _read(content: bytes) -> JavaClass:
    texts: dict[int, str] = {}
    strings: dict[int, int] = {}
    (count,) = struct.unpack_from(">H", content, 8)
    at, index = 10, 1
    while index < count:
        tag = content[at]
        if tag == UTF8:
            (length,) = struct.unpack_from(">H", content, at + 1)
            texts[index] = content[at + 3 : at + 3 + length].decode(errors="replace")
            at += 3 + length
        else:
            if tag == STRING:
                (strings[index],) = struct.unpack_from(">H", content, at + 1)
            at += SIZES[tag]
        index += 2 if tag in LONG_AND_DOUBLE else 1
    named = {index: texts[text] for index, text in strings.items()}
    return JavaClass(set(named.values()), _fields(content, at, texts, named))


def _fields(content: bytes, at: int, texts: dict[int, str], strings: dict[int, str]) -> dict[str, str]:
    (interfaces,) = struct.unpack_from(">H", content, at + 6)
    at += 8 + 2 * interfaces
    (count,) = struct.unpack_from(">H", content, at)
    at += 2
    found = {}
    for _ in range(count):
        _, name, _, attributes = struct.unpack_from(">4H", content, at)
        at += 8
        for _ in range(attributes):
            kind, length = struct.unpack_from(">HI", content, at)
            if texts[kind] == "ConstantValue":
                (constant,) = struct.unpack_from(">H", content, at + 6)
                if constant in strings:
                    found[texts[name]] = strings[constant]
            at += 6 + length
    return found
