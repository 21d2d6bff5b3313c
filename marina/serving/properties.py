"""Write the ``config.properties`` that a server is started with: a person's, with addresses and paths put in."""

from __future__ import annotations

import re
from pathlib import Path

from marina.config.addresses import listeners
from marina.config.files import LOG_CONFIG
from marina.config.keys import KEYS
from marina.config.settings import Settings
from marina.config.values import OF_THE_LAUNCHER
from marina.paths import METRICS_CONFIG, Store
from marina.serving.ports import Ports

PORT_OF = {
    "inference_address": "inference_port",
    "management_address": "management_port",
    "metrics_address": "metrics_port",
    "grpc_inference_port": "grpc_inference_port",
    "grpc_management_port": "grpc_management_port",
}


def ports_in(settings: Settings) -> dict[str, int]:
    """The ports of a config.properties, by the names of ``Ports``; of keys that it does not have TorchServe's own."""
    return {PORT_OF[one.key]: one.port for one in listeners(settings)}


def effective_properties(settings: Settings, folder: Path, ports: Ports, address: str | None, store: Store) -> str:
    """The text of a config.properties with the ports, the address and absolute paths in place of its own.

    What is replaced stays on its line, so that what is said of a line is said of the person's file.

    Args:
        settings: a person's; other lines stay.
        folder: where its relative paths begin.
        ports: to listen on.
        address: to listen on, on all ports; None leaves the hosts that the settings have.
        store: whose archives are served.
    """
    replaced = _absolute(settings, folder) | _addresses(settings, ports, address)
    replaced["model_store"] = str(store.archives)
    replaced["allowed_urls"] = f"file://{re.escape(str(store.archives))}/[A-Za-z0-9._-]+\\.mar"
    replaced.setdefault("metrics_config", str(METRICS_CONFIG))
    lines = settings.text.splitlines()
    for key, value in replaced.items():
        written = f"{key}={value if key in OF_THE_LAUNCHER else _escaped(value)}"
        if key in settings.given:
            first, last = settings.given[key].line - 1, settings.given[key].line + settings.given[key].raw.count("\n")
            lines[first:last] = [written, *[""] * (last - first - 1)]
        else:
            lines.append(written)
    return "\n".join(lines) + "\n"


def _addresses(settings: Settings, ports: Ports, address: str | None) -> dict[str, str]:
    """The keys of all listeners; an address that cannot be read is left as it is, for the checker to name."""
    found: dict[str, str] = {}
    for one in listeners(settings):
        port, host = getattr(ports, PORT_OF[one.key]), address or one.host
        if one.key.startswith("grpc"):
            found |= {one.key: str(port), one.key.replace("_port", "_address"): host}
        else:
            found[one.key] = f"{'https' if one.is_encrypted else 'http'}://{host}:{port}"
    return found


def _escaped(value: str) -> str:
    """As Java reads it back: it takes the file for Latin-1."""
    return "".join(one if one.isascii() else f"\\u{ord(one):04x}" for one in value.replace("\\", "\\\\"))


def _absolute(settings: Settings, folder: Path) -> dict[str, str]:
    """Files and folders from their roots, since a server runs in a folder of its own."""
    found = {
        key: str(folder / setting.value.strip())
        for key, setting in settings.given.items()
        if key in KEYS and KEYS[key].kind in ("file", "folder")
    }
    if "vmargs" in settings.given:
        arguments = settings.given["vmargs"].value
        found["vmargs"] = LOG_CONFIG.sub(lambda name: f"-Dlog4j.configurationFile={folder / name[1]}", arguments)
    return found
