"""Write the ``config.properties`` that a server is started with: ours, with addresses and paths put in."""

from __future__ import annotations

import re
from pathlib import Path

from marina import paths
from marina.paths import Store
from marina.serving.ports import Ports


def effective_properties(source: Path, ports: Ports, address: str, store: Store) -> str:
    """The text of ``source`` with the ports, the address and absolute paths in place of its own.

    Args:
        source: a config.properties; its other lines stay.
        ports: to listen on.
        address: to listen on; 127.0.0.1 unless asked otherwise.
        store: whose archives are served.
    """
    replaced = {
        "inference_address": f"http://{address}:{ports.inference_port}",
        "management_address": f"http://{address}:{ports.management_port}",
        "metrics_address": f"http://{address}:{ports.metrics_port}",
        "grpc_inference_address": address,
        "grpc_inference_port": str(ports.grpc_inference_port),
        "grpc_management_address": address,
        "grpc_management_port": str(ports.grpc_management_port),
        "model_store": str(store.archives),
        "allowed_urls": f"file://{re.escape(str(store.archives))}/[A-Za-z0-9._-]+\\.mar".replace("\\", "\\\\"),
        "metrics_config": str(paths.METRICS_CONFIG),
    }
    kept = [line for line in source.read_text(encoding="utf-8").splitlines() if _key(line) not in replaced]
    return "\n".join([*kept, *(f"{key}={value}" for key, value in replaced.items())]) + "\n"


def read_properties(source: Path) -> dict[str, str]:
    """Keys and values of a config.properties, as TorchServe's launcher reads it."""
    lines = source.read_text(encoding="utf-8").splitlines()
    return {_key(line): line.split("=", 1)[1].strip() for line in lines if _key(line)}


def _key(line: str) -> str:
    line = line.strip()
    return line.split("=", 1)[0].strip() if "=" in line and not line.startswith("#") else ""
