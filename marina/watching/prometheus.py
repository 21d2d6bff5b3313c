"""Prometheus's configuration for one's own machine, made from the compose stack's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from marina.errors import UsageError
from marina.reading import NotYaml, parse_yaml
from marina.serving.ports import Ports

LOOPBACK = "127.0.0.1"
PORT_OF = {
    "torchserve": "metrics_port",
    "gateway": "gateway_internal_port",
    "recorder": "recorder_port",
    "exporter": "exporter_port",
}
ITSELF = "prometheus"


def local_config(path: Path, ports: Ports, own_port: int) -> dict[str, Any]:
    """A prometheus.yml whose jobs are asked on this machine, at its ports, and whose rules are named from the root.

    Args:
        path: of the configuration for the compose stack.
        ports: of this machine.
        own_port: of Prometheus itself.

    Raises:
        UsageError: it cannot be read, or has a job that runs in the compose stack alone.
    """
    config = _read(path)
    config["rule_files"] = [str(path.resolve().parent / rules) for rules in config.get("rule_files") or []]
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": [f"{LOOPBACK}:{_port(path, job['job_name'], ports, own_port)}"]}]
    return config


def _read(path: Path) -> dict[str, Any]:
    try:
        config = parse_yaml(path.read_text(encoding="utf-8"))
        return {**config, "scrape_configs": [{**job, "job_name": job["job_name"]} for job in config["scrape_configs"]]}
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except (NotYaml, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    except (TypeError, KeyError) as error:
        raise UsageError(f"{path}: must have scrape_configs, each with a job_name; found something else") from error


def _port(path: Path, job: str, ports: Ports, own_port: int) -> int:
    if job == ITSELF:
        return own_port
    if job not in PORT_OF:
        raise UsageError(f"{path}: job {job!r} has no port on this machine; those that have: {', '.join([*PORT_OF, ITSELF])}")
    return int(getattr(ports, PORT_OF[job]))
