"""A real Envoy for tests: it answers every request itself, and writes the access log that our gateway's writes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from marina.serving.free_ports import free_ports
from marina.serving.polling import wait_for

START_SECONDS = 20
LINE = {
    "time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "model": "digits",
    "route": "predictions",
    "experiment": "digits",
    "key": "%REQ(X-USER-ID)%",
    "key_from": "header",
    "assigned": "1.0",
    "answered": "1.0",
    "status": "%RESPONSE_CODE%",
    "first_status": "%RESPONSE_CODE%",
    "attempts": 1,
    "seconds": 0.01,
    "sampled_shadow": "%REQ(X-SHADOW)%",
}


@dataclass(frozen=True)
class Envoy:
    """A running Envoy: ``url`` is for callers, ``admin`` takes ``POST /reopen_logs``."""

    url: str
    admin: str


@contextmanager
def envoy(log: Path, folder: Path) -> Iterator[Envoy]:
    """Start one that logs to ``log``; it is stopped, whatever happens."""
    ports = free_ports()
    config = folder / "envoy.json"
    config.write_text(json.dumps(_config(ports.gateway_port, ports.gateway_internal_port, log)))
    program = Path(sys.executable).with_name("envoy")
    command = [str(program), "-c", str(config), "--use-dynamic-base-id", "--file-flush-interval-msec", "50", "-l", "error"]
    with (folder / "envoy.log").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    started = Envoy(f"http://127.0.0.1:{ports.gateway_port}", f"http://127.0.0.1:{ports.gateway_internal_port}")
    try:
        assert wait_for(lambda: _is_ready(started), START_SECONDS), (folder / "envoy.log").read_text()
        yield started
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def _is_ready(started: Envoy) -> bool:
    try:
        return requests.get(f"{started.admin}/ready", timeout=5).ok
    except requests.RequestException:
        return False


def _config(port: int, admin: int, log: Path) -> dict[str, object]:
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "callers",
        "preserve_external_request_id": True,
        "route_config": {
            "virtual_hosts": [
                {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}]}
            ]
        },
        "http_filters": [
            {
                "name": "router",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
            }
        ],
        "access_log": [
            {
                "name": "file",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                    "path": str(log),
                    "log_format": {"json_format": LINE},
                },
            }
        ],
    }
    listener = {
        "address": _address(port),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    return {"admin": {"address": _address(admin)}, "static_resources": {"listeners": [listener]}}


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
