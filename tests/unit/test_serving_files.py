"""Ports, deployment and config.properties: read rightly, or refused in one line."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from marina import paths
from marina.config.settings import parse_settings, read_settings
from marina.errors import MarinaError, UsageError
from marina.paths import Store
from marina.serving.deployment import read_deployment
from marina.serving.free_ports import free_ports
from marina.serving.ports import Ports, read_ports, require_free
from marina.serving.process import LONGEST_SOCKET_FOLDER, TorchServe
from marina.serving.properties import effective_properties, ports_in


def test_ports_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """One variable moves one port; the others stay."""
    monkeypatch.setenv("INFERENCE_PORT", "9001")
    ports = read_ports()
    assert (ports.inference_port, ports.metrics_port) == (9001, Ports.model_fields["metrics_port"].default)


def test_ports_come_from_the_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """.env moves ports as the environment does, and the environment wins."""
    (tmp_path / ".env").write_text("METRICS_PORT=9002\nMANAGEMENT_PORT=9003\nUNRELATED=1\n")
    monkeypatch.setitem(Ports.model_config, "env_file", tmp_path / ".env")
    monkeypatch.setenv("MANAGEMENT_PORT", "9004")
    ports = read_ports()
    assert (ports.metrics_port, ports.management_port) == (9002, 9004)


@pytest.mark.parametrize("value", ["eighty", "0", "65536", "-1", ""])
def test_what_is_no_port_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable and what was found in it."""
    monkeypatch.setenv("METRICS_PORT", value)
    with pytest.raises(UsageError, match=re.escape(f"METRICS_PORT must be a port, 1 to 65535; found {value!r}")):
        read_ports()


def test_the_same_port_twice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both variables are named."""
    monkeypatch.setenv("METRICS_PORT", "8080")
    with pytest.raises(UsageError, match="INFERENCE_PORT and METRICS_PORT are both 8080"):
        read_ports()


def test_a_taken_port_says_by_whom_and_how_to_move() -> None:
    """The port, the process that has it, and the variable that moves ours."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ports = free_ports().model_copy(update={"grpc_management_port": server.getsockname()[1]})
        with pytest.raises(
            MarinaError, match=r"port \d+ is taken by .* \(pid \d+\): stop that, or move with GRPC_MANAGEMENT_PORT"
        ):
            require_free(ports, "127.0.0.1")


def test_what_a_server_does_not_take_does_not_keep_it_from_starting() -> None:
    """The exporter outlives a server; without a gateway its ports, and the recorder's, are others' to have."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        require_free(free_ports().model_copy(update={"exporter_port": port}), "127.0.0.1")
        for name in ("gateway_port", "gateway_internal_port", "recorder_port"):
            ports = free_ports().model_copy(update={name: port})
            require_free(ports, "127.0.0.1", with_gateway=False)
            with pytest.raises(MarinaError, match=f"or move with {name.upper()}="):
                require_free(ports, "127.0.0.1")


def test_effective_properties_replace_addresses_and_paths_alone(tmp_path: Path) -> None:
    """What a person wrote in config.properties stays, on its line; no key stands twice."""
    original = read_settings(paths.SERVER_CONFIG)
    text = effective_properties(original, paths.ROOT, Ports(inference_port=9001), "0.0.0.0", Store(tmp_path))  # noqa: S104
    effective = parse_settings(text, "effective", {})
    assert effective.value("inference_address") == "http://0.0.0.0:9001"
    assert effective.value("model_store") == str(tmp_path / "archives")
    assert {key: one.line for key, one in effective.given.items()} == {key: one.line for key, one in original.given.items()}
    assert effective.again == []
    assert effective.value("metrics_mode") == original.value("metrics_mode")


def test_effective_properties_keep_tls_and_name_files_from_the_root(tmp_path: Path) -> None:
    """A server runs in a folder of its own: certificates, logs and metrics are found from there; https stays https."""
    original = read_settings(paths.PRODUCTION_CONFIG)
    ports = read_ports(ports_in(original))
    store = Store(tmp_path / "modèles")
    effective = parse_settings(effective_properties(original, paths.ROOT, ports, None, store), "effective", {})
    assert effective.value("management_address") == "https://127.0.0.1:8092"
    assert effective.value("certificate_file") == str(paths.CERTIFICATES / "certificate.pem")
    assert f"-Dlog4j.configurationFile={paths.CONFIG / 'log4j2.xml'}" in effective.value("vmargs")
    assert effective.of_the_launcher()["model_store"] == str(store.archives)
    assert "modèles" in effective.value("allowed_urls")
    assert {key: one.line for key, one in effective.given.items()} == {key: one.line for key, one in original.given.items()}


def test_hosts_stay_unless_another_is_asked_for() -> None:
    """A management address on the outside stays there; --address moves all of them."""
    original = parse_settings("management_address=http://0.0.0.0:8081\ngrpc_inference_address=10.0.0.1\n", "x", {})
    for address, host, grpc in ((None, "0.0.0.0", "10.0.0.1"), ("127.0.0.1", "127.0.0.1", "127.0.0.1")):  # noqa: S104
        text = effective_properties(original, paths.ROOT, Ports(), address, Store())
        effective = parse_settings(text, "effective", {})
        assert effective.value("management_address") == f"http://{host}:8081"
        assert effective.value("grpc_inference_address") == grpc


def test_the_environment_goes_before_the_ports_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """config.production.properties has ports of its own; a variable moves one of them."""
    monkeypatch.setenv("METRICS_PORT", "9005")
    ports = read_ports(ports_in(read_settings(paths.PRODUCTION_CONFIG)))
    assert (ports.inference_port, ports.metrics_port, ports.grpc_management_port) == (8091, 9005, 7091)


@pytest.mark.parametrize("source", ["literal", "effective"])
def test_only_archives_of_the_store_may_be_registered_by_address(source: str) -> None:
    """allowed_urls, as Java reads it, takes the store's archives and nothing else."""
    settings = read_settings(paths.SERVER_CONFIG)
    if source == "effective":
        text = effective_properties(settings, paths.ROOT, Ports(), "127.0.0.1", Store(Path("/srv/model_store")))
        settings = parse_settings(text, source, {})
    pattern = settings.value("allowed_urls")
    assert re.fullmatch(pattern, "file:///srv/model_store/archives/digits-1.0.mar")
    for url in (
        "file:///etc/hostname",
        "http://elsewhere/model_store/archives/a.mar",
        "file:///srv/model_store/archives/../../etc/x.mar",
    ):
        assert not re.fullmatch(pattern, url)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models: {digits: {default: '1', versions: {'2': {}}}}", "the default, 1, is not among the versions: 2"),
        ("models: {digits: {default: '1', version: {}}}", "unknown key 'models.digits.version': did you mean 'versions'?"),
        ("models: {digits: {default: '1', versions: {'1': {worker: 2}}}}", "did you mean 'workers'?"),
        ("models: {digits: {default: 1.0, versions: {'1.0': {}}}}", 'is the number 1.0; write it in quotes: "1.0"'),
        ("models: {}", "'models': Dictionary should have at least 1 item"),
        ("modles: {}", "unknown key 'modles': did you mean 'models'?"),
        ("", "Input should be a valid dictionary or instance of Deployment"),
        ("models: [", "not valid YAML"),
    ],
)
def test_a_wrong_deployment_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    """The file, the key, and the nearest right one."""
    (tmp_path / "deployment.yaml").write_text(text)
    with pytest.raises(UsageError, match=re.escape(message)):
        read_deployment(tmp_path / "deployment.yaml")


SPLIT = "models: {m: {default: '1', versions: {'1': , '2': }, split: {weights: %s}}}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SPLIT % "{'1': 50, '2': 49}", "'models.m.split.weights': weights are percent, 100 together; found 99"),
        (SPLIT % "{'1': 120, '2': -20}", "the weight of 1 must be 0 to 100 percent, in steps of 0.01; found 120"),
        (SPLIT % "{'1': 99.995, '2': 0.005}", "the weight of 1 must be 0 to 100 percent, in steps of 0.01; found 99.995"),
        (SPLIT % "{'1': .nan, '2': 100}", "the weight of 1 must be 0 to 100 percent, in steps of 0.01; found nan"),
        (SPLIT % "{'1': 50, '3': 50}", "the split's 3 is not among the versions: 1, 2"),
        (SPLIT % "{}", "should have at least 1 item"),
        (SPLIT % "{'1': 100}, sticky: {header: , cookie: }", "a header or a cookie is required; found neither"),
        (SPLIT % "{'1': 100}, sticky: {header: 'X User'}", "'models.m.split.sticky.header': String should match pattern"),
        (SPLIT % "{'1': 100}, shadow: {version: '2'}", "unknown key 'models.m.split.shadow'"),
        (SPLIT.replace("split", "shadow") % "{}", "'models.m.shadow.version' is required"),
        (
            "models: {m: {default: '1', versions: {'1': }, shadow: {version: '2', percent: 5}}}",
            "the shadow, 2, is not among the versions: 1",
        ),
        ("models: {m: {default: '1', versions: {'1': }, objectives: {p99_ms: 0}}}", "should be greater than 0"),
    ],
)
def test_a_wrong_split_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    """Weights that are not percent, arms that do not run, keys that are misplaced."""
    (tmp_path / "deployment.yaml").write_text(text)
    with pytest.raises(UsageError, match=re.escape(message)):
        read_deployment(tmp_path / "deployment.yaml")


def test_weights_are_shared_in_hundredths_of_a_percent(tmp_path: Path) -> None:
    """All parts together are always the same whole, so that a change of weights moves no more than its share."""
    (tmp_path / "deployment.yaml").write_text(SPLIT % "{'1': 66.67, '2': 33.33}")
    split = read_deployment(tmp_path / "deployment.yaml").models["m"].split
    assert split is not None
    assert split.parts == {"1": 6667, "2": 3333}
    assert str(split) == "1 66.67 %, 2 33.33 %"


def test_a_missing_deployment_is_one_line(tmp_path: Path) -> None:
    """The path and the system's reason."""
    with pytest.raises(UsageError, match=r"none\.yaml: cannot be read: No such file or directory"):
        read_deployment(tmp_path / "none.yaml")


def test_the_default_version_is_registered_first(tmp_path: Path) -> None:
    """TorchServe makes the first version it is given the default."""
    (tmp_path / "d.yaml").write_text("models: {m: {default: '2', versions: {'1': {}, '2': {workers: 3}, '3': }}}")
    wanted = read_deployment(tmp_path / "d.yaml").versions()
    assert [(one.name, one.is_default) for one in wanted] == [("2", True), ("1", False), ("3", False)]
    assert wanted[0].settings.workers == 3


def test_a_model_can_be_served_under_a_second_name(tmp_path: Path) -> None:
    """With workers of its own, for example for explanations."""
    text = "models: {m: {default: '1', versions: {'1': }}, m-explained: {of: m, default: '1', versions: {'1': {workers: 2}}}}"
    (tmp_path / "d.yaml").write_text(text)
    wanted = read_deployment(tmp_path / "d.yaml").versions()
    assert [(one.model, one.built_as) for one in wanted] == [("m", "m"), ("m-explained", "m")]


def test_the_sockets_folder_stays_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker's socket may have a path of 108 characters, however long TMPDIR is."""
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    server = TorchServe("", tmp_path / "logs")
    try:
        assert len(str(server._folder)) <= LONGEST_SOCKET_FOLDER
        assert list(long.iterdir()) == []
    finally:
        server.stop()


def test_a_machine_without_kill_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slim images lack it, and TorchServe could then start workers, but not end them."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(MarinaError, match="by the program `kill`, which is not on the path: install procps"),
        TorchServe("", tmp_path),
    ):
        pass


def test_logs_that_cannot_be_written_are_one_line(tmp_path: Path) -> None:
    """A file where the folder of logs should be."""
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(MarinaError, match=r"TorchServe could not be started: .*Not a directory"),
        TorchServe("", tmp_path / "file" / "logs"),
    ):
        pass
