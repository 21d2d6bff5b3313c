"""Where a configuration is to run: this machine, its environment, and what stands beside the file."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from dotenv import dotenv_values

from marina.reading import NotYaml, parse_yaml
from marina.serving.ports import Ports, holder_of

LONGEST_NAME, LONGEST_PATH, LONGEST_PORT = 255, 2000, 5  # characters
NOBODYS = "no file has this name"
WITH_DEFAULT = re.compile(r"\$\{[A-Za-z_]+:?-([^}]*)\}")


@dataclass(frozen=True)
class Place:
    """A machine and a folder.

    Attributes:
        folder: that TorchServe is started in; relative paths begin there.
        environ: variables of the environment.
        cores: of the machine.
        memory_bytes: of the machine.
        is_root: whether ports below 1024 may be taken.
        published: ports of this machine that docker-compose.yml publishes for other services, with the service.
        moved: variables that move ports, of the environment or of .env, with what they say.
        holder: says who listens on a port; "" is nobody.
        now: the time.
        is_asked: whether the addresses were asked for on the command line, so that exposing them is meant.
    """

    folder: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    cores: int = 4
    memory_bytes: int = 16 * 2**30
    is_root: bool = False
    published: Mapping[int, str] = field(default_factory=dict)
    moved: Mapping[str, str] = field(default_factory=dict)
    holder: Callable[[int], str] = lambda _: ""
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    is_asked: bool = False

    def path(self, value: str) -> Path:
        """A path of the file, from the folder; of a name that no file can have, one where nothing is."""
        return self.folder / (value if _may_be_a_file(value) else NOBODYS)


def _may_be_a_file(name: str) -> bool:
    try:
        parts = [part.encode() for part in Path(name).parts]
    except UnicodeEncodeError:  # half of a character, as \\ud800 is
        return False
    return "\0" not in name and len(name) <= LONGEST_PATH and all(len(part) <= LONGEST_NAME for part in parts)


def this_place(folder: Path, *, is_asked: bool = False, look_at_ports: bool = True) -> Place:
    """This machine, with a folder's ``.env`` and ``docker-compose.yml``."""
    names = [name.upper() for name in Ports.model_fields]
    written = dotenv_values(folder / ".env") | os.environ if (folder / ".env").is_file() else dict(os.environ)
    return Place(
        folder,
        dict(os.environ),
        psutil.cpu_count() or 1,
        psutil.virtual_memory().total,
        os.geteuid() == 0,
        _published(folder / "docker-compose.yml"),
        {name: str(written[name]) for name in names if name in written},
        holder_of if look_at_ports else lambda _: "",
        is_asked=is_asked,
    )


def _published(compose: Path) -> dict[int, str]:
    """Ports that services other than TorchServe publish; a file that is not there, or cannot be read, publishes none."""
    try:
        services: dict[str, Any] = parse_yaml(compose.read_text(encoding="utf-8"))["services"]
        listed = [
            (str(name), service["ports"]) for name, service in services.items() if name != "torchserve" and "ports" in service
        ]
    except (OSError, NotYaml, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        return {}
    found = {}
    for name, ports in listed:
        for port in ports if isinstance(ports, list) else []:
            written = str(port.get("published", "")) if isinstance(port, dict) else str(port)
            parts = WITH_DEFAULT.sub(r"\1", written).split("/")[0].split(":")
            outside = parts[-2] if len(parts) > 1 else parts[0]
            if outside.isdecimal() and len(outside) <= LONGEST_PORT:
                found[int(outside)] = name
    return found
