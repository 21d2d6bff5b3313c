"""What a config.properties says, as TorchServe's two readers understand it.

Java reads every key; the launcher, in Python, reads ``model_store``, ``vmargs`` and ``plugins_path`` from the same file by
simpler rules: one line each, ``=`` alone, no escapes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import javaproperties

from marina.config.findings import Found, error
from marina.config.keys import BY_VARIABLE, KEYS
from marina.errors import UsageError

WHOLE = re.compile(r"[+-]?[0-9]{1,18}")  # more digits has nothing that Java counts, and Python refuses to read thousands
BEFORE_VALUE = re.compile(r"\A\s*(?:\\.|[^\\=:\s])*\s*[=:]?\s*")
REFERENCE = re.compile(r"\$\$([^$]+[^$])\$\$")


@dataclass(frozen=True)
class Setting:
    """One entry of the file.

    Attributes:
        key: its name.
        value: as Java reads it, variables put in.
        raw: as it is written, from the first character of the value to the last.
        line: where it begins; 1 is the first.
        variable: of the environment, where the value comes from there and not from the file.
    """

    key: str
    value: str
    raw: str
    line: int
    variable: str = ""


@dataclass
class Settings:
    """A config.properties.

    Attributes:
        file: as the person named it.
        text: of the file.
        given: its settings by name; of a key that stands twice the last one counts.
        again: those that do not count.
        wrong: what could not be read.
        broken_at: the line where Java stops reading; 0 is nowhere.
    """

    file: str
    text: str
    given: dict[str, Setting] = field(default_factory=dict)
    again: list[Setting] = field(default_factory=list)
    wrong: list[Found] = field(default_factory=list)
    broken_at: int = 0

    def value(self, key: str) -> str:
        """What counts: the file's, else TorchServe's default."""
        return self.given[key].value if key in self.given else KEYS[key].default

    def says_yes(self, key: str) -> bool:
        """As Java reads it: only ``true`` is."""
        return self.value(key).lower() == "true"

    def number(self, key: str) -> int | None:
        """A whole number, or None where there is none that Java could read."""
        value = self.value(key)
        return int(value) if WHOLE.fullmatch(value) else None

    def of_the_launcher(self) -> dict[str, str]:
        """Keys and values as the launcher reads them."""
        pairs = [line.strip().split("=", 1) for line in self.text.splitlines() if not line.strip().startswith("#")]
        return {pair[0].strip(): pair[1].strip() for pair in pairs if len(pair) == 2}


def read_settings(path: Path, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of a file.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        text = path.read_bytes().decode()
    except OSError as failure:
        raise UsageError(f"{path}: cannot be read: {failure.strerror}") from failure
    except UnicodeDecodeError as failure:
        raise UsageError(f"{path}: not text in UTF-8: byte {failure.start} is {failure.object[failure.start]:#04x}") from failure
    return parse_settings(text, str(path), environ or {})


def parse_settings(text: str, file: str, environ: Mapping[str, str]) -> Settings:
    """The settings of a text.

    Args:
        text: of a config.properties.
        file: what to call it.
        environ: variables that ``$$NAME$$`` stands for, and that enable_envvars_config lets go before the file.
    """
    settings = Settings(file, text)
    line = 1
    try:
        for element in javaproperties.parse(text):
            if isinstance(element, javaproperties.KeyValue):
                _add(settings, element, line, environ)
            line += len(re.findall(r"\r\n|\r|\n", element.source))
    except javaproperties.InvalidUEscapeError as failure:
        settings.broken_at = line
        settings.wrong.append(error(failure.escape, "is no character, and TorchServe does not start: write \\uXXXX, or \\\\u"))
    if settings.says_yes("enable_envvars_config"):
        _put_environment_first(settings, environ)
    return settings


def _add(settings: Settings, element: javaproperties.KeyValue, line: int, environ: Mapping[str, str]) -> None:
    key, value = element.key, element.value
    for name in REFERENCE.findall(value):
        if name not in environ:
            message = f"the variable {name} is not set, and TorchServe does not start without it: set it, or write the value"
            settings.wrong.append(error(key, message))
        value = value.replace(f"$${name}$$", environ.get(name, ""))
    if key in settings.given:
        settings.again.append(settings.given[key])
    settings.given[key] = Setting(key, value, BEFORE_VALUE.sub("", element.source, count=1).rstrip("\r\n"), line)


def _put_environment_first(settings: Settings, environ: Mapping[str, str]) -> None:
    allowed = settings.says_yes("use_env_allowed_urls")
    for variable, key in BY_VARIABLE.items():
        if variable in environ and (variable != "TS_ALLOWED_URLS" or allowed):
            line = settings.given[key.name].line if key.name in settings.given else 0
            settings.given[key.name] = Setting(key.name, environ[variable], environ[variable], line, variable)
