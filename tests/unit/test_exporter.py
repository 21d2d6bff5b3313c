"""What the exporter makes of what it looks at."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from scripts_of_ours import run_script
from servers import eventually

from marina.comparing.guardrails import Bounds
from marina.comparing.rollout import Record, Rollout
from marina.comparing.split import Split
from marina.config.self_signed import write_pair
from marina.errors import MarinaError
from marina.gateway.gateway import Gateway
from marina.paths import State
from marina.serving.free_ports import environment, free_ports
from marina.serving.management import Running, Worker
from marina.watching.exported import EXPORTED, Sample
from marina.watching.exporter import Exporter
from marina.watching.restarts import Restarts
from marina.watching.sources import Certificates, LiveSplits, Rollouts, Source, WrittenDeployment

DEPLOYMENT = 'models: {digits: {default: "1.0", versions: {"1.0": {}}, objectives: {p99_ms: 250, errors_percent: 0.5}}}'
EXPIRY = "marina_certificate_expiry_timestamp_seconds"


def running(*pids: int) -> list[Running]:
    workers = tuple(Worker(str(9000 + place), "READY", pid) for place, pid in enumerate(pids))
    return [Running("digits", "1.0", "digits-1.0.mar", 1, 5, len(pids), workers)]


def test_a_restart_is_another_process_in_the_place_of_one() -> None:
    """Those that start first, are added, are removed, or have no process yet are none."""
    restarts = Restarts()
    looks = [(0,), (11,), (11, 12), (11, 12), (0, 12), (21, 12), (21,), (22,)]
    counted = [restarts.look(running(*pids))["digits", "1.0"] for pids in looks]
    assert counted == [0, 0, 0, 0, 0, 1, 1, 2]


def test_the_workers_of_another_server_are_no_restarts() -> None:
    """TorchServe itself was started anew: all processes are others; those before it stay counted."""
    restarts = Restarts()
    for pid in (11, 12):
        restarts.look(running(pid))
    restarts.forget_processes()
    assert restarts.look(running(31))["digits", "1.0"] == 1
    assert restarts.look(running(32))["digits", "1.0"] == 2


def test_objectives_are_told_in_base_units_and_read_again_when_they_change(tmp_path: Path) -> None:
    """Seconds and ratios; the file's new content counts at the next look."""
    path = tmp_path / "deployment.yaml"
    path.write_text(DEPLOYMENT)
    source = WrittenDeployment(path)
    assert set(source.look()) == {
        Sample("marina_version_deployed", ("digits", "1.0"), 1),
        Sample("marina_objective_p99_seconds", ("digits",), 0.25),
        Sample("marina_objective_error_ratio", ("digits",), 0.005),
    }
    path.write_text(DEPLOYMENT.replace("p99_ms: 250, ", ""))
    os.utime(path, ns=(1, 1))
    assert "marina_objective_p99_seconds" not in {sample.name for sample in source.look()}
    path.unlink()
    with pytest.raises(MarinaError, match="cannot be read: No such file"):
        source.look()


def test_a_shadow_is_told_with_the_name_that_envoy_counts_it_by(tmp_path: Path) -> None:
    """A dot would end a name in Envoy's figures."""
    path = tmp_path / "deployment.yaml"
    path.write_text('models: {digits: {default: "1.0", versions: {"1.0": {}, "2.0": {}}, shadow: {version: "2.0", percent: 5}}}')
    told = set(WrittenDeployment(path).look())
    assert Sample("marina_shadow_copied_ratio", ("digits", "2.0"), 0.05) in told
    assert Sample("marina_gateway_cluster_info", ("digits/2_0/shadow", "digits", "2.0"), 1) in told


def test_a_rollout_is_open_until_it_has_ended(tmp_path: Path) -> None:
    """One that is paused is; without any there is nothing to tell."""
    state = State(tmp_path)
    assert list(Rollouts(state).look()) == []
    even = Split(weights={"1.0": 50, "2.0": 50})
    rollout = Rollout(
        model="digits",
        candidate="2.0",
        current="1.0",
        steps=[100],
        bake_seconds=1,
        max_bake_seconds=1,
        min_requests=1,
        bounds=Bounds(),
        before=even,
        file_weights=even.weights,
        began=datetime.now(UTC),
        status="paused",
    )
    Record(state, "digits").write(rollout)
    assert list(Rollouts(state).look()) == [Sample("marina_rollout_open", ("digits", "2.0"), 1)]
    Record(state, "digits").write(rollout.model_copy(update={"status": "rolled back"}))
    assert list(Rollouts(state).look()) == [Sample("marina_rollout_open", ("digits", "2.0"), 0)]
    (state.rollouts / "digits.json").write_text("{")
    with pytest.raises(MarinaError):
        Rollouts(state).look()


def test_without_a_gateway_no_split_is_told(tmp_path: Path) -> None:
    """The file's weights are what is meant, not what is so."""
    with pytest.raises(MarinaError, match="has no gateway: start one with make serve"):
        list(LiveSplits(Gateway(State(tmp_path), "http://127.0.0.1:9")).look())


def test_the_end_of_each_certificate_is_told(tmp_path: Path) -> None:
    """Those in a folder, where keys are passed over; a folder that is not there yet has none."""
    folder = tmp_path / "certificates"
    assert list(Certificates([], folder).look()) == []
    made = write_pair(folder / "certificate.pem", folder / "key.pem", [], 30, replace=False)
    (told,) = Certificates([], folder).look()
    assert told == Sample(EXPIRY, (str(folder / "certificate.pem"),), made.not_valid_after_utc.timestamp())
    assert 29 < (datetime.fromtimestamp(told.value, UTC) - datetime.now(UTC)).total_seconds() / 86400 <= 30


def test_a_certificate_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    """A named file that goes, or that holds something else."""
    file = tmp_path / "c.pem"
    with pytest.raises(MarinaError, match=r"c\.pem: cannot be read: No such file"):
        Certificates([file]).look()
    file.write_text("-----BEGIN CERTIFICATE-----\nnone\n")
    with pytest.raises(MarinaError, match="must hold a certificate in PEM; found something else"):
        Certificates([file]).look()


class Moody(Source):
    """Answers as it is told to."""

    name = "moody"

    def __init__(self) -> None:
        self.fails = False
        self.looked = 0

    def look(self) -> Iterable[Sample]:
        self.looked += 1
        if self.fails:
            raise MarinaError("not today")
        return [Sample("marina_workers_ready", ("digits", 'a"b'), 3)]


def test_what_cannot_be_read_is_down_and_its_numbers_are_gone(capsys: pytest.CaptureFixture[str]) -> None:
    """And comes back; each change is said once."""
    registry, source = CollectorRegistry(), Moody()

    def told() -> str:
        return generate_latest(registry).decode()

    with Exporter([source], 0.01) as exporter:
        registry.register(exporter)
        assert eventually(lambda: 'marina_source_up{source="moody"} 1.0' in told())
        assert r'marina_workers_ready{model_name="digits",model_version="a\"b"} 3.0' in told()
        source.fails = True
        assert eventually(lambda: 'marina_source_up{source="moody"} 0.0' in told())
        assert "marina_workers_ready{" not in told()
        before = source.looked
        assert eventually(lambda: source.looked > before + 3)
        source.fails = False
        assert eventually(lambda: 'marina_source_up{source="moody"} 1.0' in told())
    said = capsys.readouterr().err
    assert said.count("moody: not today") == 1
    assert said.count("moody: answers again") == 1


def test_a_source_that_hangs_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """It neither holds the others up nor passes old numbers for new ones."""
    monkeypatch.setattr("marina.watching.exporter.STALE_SECONDS", 0.2)
    over = threading.Event()

    class Hangs(Moody):
        name = "hangs"

        def look(self) -> Iterable[Sample]:
            if self.looked:
                over.wait()
            return super().look()

    registry = CollectorRegistry()
    with Exporter([Hangs(), Moody()], 0.01) as exporter:
        registry.register(exporter)
        assert eventually(lambda: 'source="hangs"} 0.0' in generate_latest(registry).decode())
        assert 'source="moody"} 1.0' in generate_latest(registry).decode()
        over.set()


def test_names_carry_their_units() -> None:
    """A gauge in seconds, bytes or a ratio says so; a counter ends in _total, and no gauge does."""
    assert all(name.startswith("marina_") for name in EXPORTED)
    assert all(name.endswith("_total") == (one.kind == "counter") for name, one in EXPORTED.items())


def test_a_wrong_start_is_one_line(tmp_path: Path) -> None:
    """A taken port, an address of elsewhere, a file that is not there, a deployment with a mistake, a wrong number."""
    with socket.create_server(("127.0.0.1", free_ports().exporter_port)) as taken:
        port = taken.getsockname()[1]
        done = run_script("export_metrics", environment={"EXPORTER_PORT": str(port)})
    assert done.code == 1
    assert done.error.startswith(f"port {port} is taken by ")
    assert "EXPORTER_PORT=<port>" in done.error
    done = run_script("export_metrics", "--address", "192.0.2.1", environment=environment(free_ports()))
    assert done.error.startswith("--address: cannot listen on 192.0.2.1: ")
    done = run_script("export_metrics", "--certificate", tmp_path / "no.pem")
    assert done.error == f"--certificate: {tmp_path}/no.pem is no file"
    (tmp_path / "d.yaml").write_text("models: {}")
    done = run_script("export_metrics", "--deployment", tmp_path / "d.yaml")
    assert (done.code, "'models'" in done.error) == (2, True)
    assert "required a number of seconds from 0.5 to 60, found '0'" in run_script("export_metrics", "--seconds", "0").err
