"""What a change of a file does to a server that runs, and what it takes for it to count: docs/configuration.md's table."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from collectors import collector
from models import SPEC, write_model
from scripts_of_ours import run_script
from servers import READY, Serving, eventually, serving

from marina import paths
from marina.config.self_signed import write_pair
from marina.paths import Store
from marina.serving.free_ports import environment, free_ports

ONE = 'models: {digits: {default: "1.0", versions: {"1.0": {}}}}'
BOTH = 'models: {digits: {default: "1.0", versions: {"1.0": {}, "2.0": {}}}}'
SHOWN = {  # each row of the table, and the test that shows it
    "`config.properties`": "test_restarts.py",
    "`metrics.yaml`": "test_restarts.py",
    "`log4j2.xml`": "test_restarts.py",
    "`config/deployment.yaml`": "test_applying.py",
    "`.env`, ports in the environment": "test_restarts.py",
    "variables of OpenTelemetry": "test_restarts.py",
    "certificate, key": "test_production.py",
    "tokens": "test_production.py",
    "an archive that was built anew, and the `model-config.yaml` in it": "test_restarts.py",
    "workers, versions, the default version": "test_registering.py",
    "the gateway's split, shadow, payloads that are kept": "test_applying.py",
    "the gateway's keys": "test_gateway_limits.py",
    "the gateway's certificate, key": "test_gateway_limits.py",
}


@dataclass
class Files:
    """The files of a server of the test's own."""

    folder: Path

    @property
    def arguments(self) -> tuple[str | Path, ...]:
        """By which it is served."""
        return "--config", self.folder / "config.properties", "--no-gateway", *self.deployment

    @property
    def deployment(self) -> tuple[str | Path, ...]:
        """What is served."""
        return "--deployment", self.folder / "deployment.yaml"

    def write(self) -> None:
        """As they are at first: the production configuration without tokens, its logs looked at each second."""
        shutil.copy(paths.METRICS_CONFIG, self.folder)
        logs = (paths.CONFIG / "log4j2.xml").read_text()
        (self.folder / "log4j2.xml").write_text(re.sub(r'monitorInterval="\d+"', 'monitorInterval="1"', logs))
        text = paths.PRODUCTION_CONFIG.read_text().replace("token_authorization=false", "token_authorization=true")
        for name in ("certificates", "metrics.yaml", "log4j2.xml"):
            text = text.replace(f"config/{name}", str(self.folder / name))
        (self.folder / "config.properties").write_text(text)
        (self.folder / "deployment.yaml").write_text(ONE)
        write_pair(self.folder / "certificates" / "certificate.pem", self.folder / "certificates" / "key.pem", [], 60)

    def change(self) -> None:
        """Each of them, while the server runs."""
        self._replace("config.properties", "max_request_size=8388608", "max_request_size=1000")
        self._replace("metrics.yaml", "ts_inference_requests_total", "another_total")
        self._replace("deployment.yaml", ONE, BOTH)

    def change_logs(self) -> None:
        """No more access log."""
        self._replace("log4j2.xml", '<Logger name="ACCESS_LOG" level="info"', '<Logger name="ACCESS_LOG" level="off"')

    def _replace(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text()
        assert old in text
        (self.folder / name).write_text(text.replace(old, new))


@dataclass
class Seen:
    """What a server does, as its callers see it."""

    status_of_2000_bytes: int
    has_the_metric: bool
    versions: set[str]


def seen(server: Serving, files: Files) -> Seen:
    """Ask it."""
    trusted = str(files.folder / "certificates" / "certificate.pem")
    url = {api: server.url("", api).replace("http:", "https:") for api in ("inference", "management", "metrics")}
    status = requests.post(f"{url['inference']}/predictions/digits", bytes(2000), verify=trusted, timeout=60).status_code
    metrics = requests.get(f"{url['metrics']}/metrics", verify=trusted, timeout=60).text
    versions = requests.get(f"{url['management']}/models/digits/all", verify=trusted, timeout=60).json()
    return Seen(status, "ts_inference_requests_total{" in metrics, {one["modelVersion"] for one in versions})


def is_logged(server: Serving, files: Files) -> bool:
    """Whether a request comes to the access log."""
    log = server.folder / "logs" / "access_log.log"
    before = log.read_text().count("/predictions/digits")
    seen(server, files)
    return log.read_text().count("/predictions/digits") > before


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    made = Files(tmp_path_factory.mktemp("files"))
    made.write()
    return made


@pytest.fixture(scope="module")
def running(store: Store, files: Files) -> Iterator[Serving]:
    """A server with these files."""
    with serving(free_ports(), store, files.folder / "first", *files.arguments) as started:
        started.wait_for_output(READY)
        yield started


def test_levels_of_logs_change_by_themselves(running: Serving, files: Files) -> None:
    """log4j2.xml is looked at every so often, as it says itself."""
    assert eventually(lambda: is_logged(running, files))
    files.change_logs()
    assert eventually(lambda: not is_logged(running, files))


def test_moved_ports_move_where_scripts_look_and_not_the_server(running: Serving, files: Files) -> None:
    """They stand in the environment, or in .env, which is read as one starts."""
    certificate = ("--cacert", files.folder / "certificates" / "certificate.pem", *files.deployment)
    here = running.url("", "management").replace("http:", "https:")
    assert run_script("check_ready", "--management", here, *certificate).code == 0
    moved = environment(free_ports())
    done = run_script("check_ready", *files.deployment, environment=moved)
    assert done.code == 1
    assert moved["MANAGEMENT_PORT"] in done.error
    assert run_script("check_ready", "--management", here, *certificate, environment=moved).code == 0


def test_files_that_are_read_once_count_after_a_restart(running: Serving, files: Files, store: Store) -> None:
    """config.properties, metrics.yaml, deployment.yaml and OpenTelemetry's variables: nothing before, everything after."""
    before = seen(running, files)
    assert before == Seen(422, has_the_metric=True, versions={"1.0"})
    files.change()
    with collector() as collected, pytest.MonkeyPatch.context() as variables:
        variables.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collected.url)
        assert seen(running, files) == before
        assert running.stop() == 0
        with serving(free_ports(), store, files.folder / "second", *files.arguments) as again:
            again.wait_for_output(READY)
            assert seen(again, files) == Seen(413, has_the_metric=False, versions={"1.0", "2.0"})
            assert eventually(lambda: bool(collected.spans))


def test_an_archive_that_was_built_anew_counts_when_it_is_registered_again(own: Serving, tmp_path: Path) -> None:
    """With the batch size that its model-config.yaml has by then."""

    def batch_size() -> int:
        described = requests.get(own.url("/models/twilight", "management"), timeout=30).json()
        return int(described[0]["batchSize"])

    def call(name: str, *arguments: str | Path) -> None:
        done = run_script(name, "--store", own.store.folder, *arguments, environment=own.environment)
        assert done.code == 0, done.err

    version = {"1": SPEC["versions"]["1"]}
    for size in (2, 3):
        spec = write_model(tmp_path / "twilight", name="twilight", versions=version, serving={"batch_size": size})
        call("build_mar", spec)
        if size == 2:
            call("register_model", "register", "twilight", "1")
        assert batch_size() == 2
    call("register_model", "unregister", "twilight", "1")
    call("register_model", "register", "twilight", "1")
    assert batch_size() == 3
    call("register_model", "unregister", "twilight", "1")


def test_every_row_of_the_table_names_its_test() -> None:
    """A row that is added is shown by a test, too."""
    _, table = (paths.ROOT / "docs" / "configuration.md").read_text().split("## What needs a restart\n")
    rows = re.findall(r"^\| (.+?) \|", table, re.MULTILINE)[1:]
    assert rows == list(SHOWN)
    assert all(list((paths.ROOT / "tests").glob(f"*/{name}")) for name in SHOWN.values())
