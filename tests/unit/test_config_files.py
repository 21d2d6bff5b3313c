"""Certificates, model-config.yaml, metrics.yaml and log4j2.xml: mistakes in the files that a configuration names."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509 import DNSName, IPAddress, SubjectAlternativeName, load_pem_x509_certificate
from hostile_archives import HOSTILE, write_zip
from scripts_of_ours import call_script

from marina import paths
from marina.config.check import check_file, check_text
from marina.config.findings import Level
from marina.config.place import Place, this_place
from marina.config.self_signed import write_pair

TLS = "inference_address=https://127.0.0.1:8443\ncertificate_file=certificate.pem\nprivate_key_file=key.pem\n"
STORE = "inference_address=https://127.0.0.1:8443\nkeystore=keys.p12\nkeystore_pass=secret\n"


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A folder with a good certificate and its key."""
    write_pair(tmp_path / "certificate.pem", tmp_path / "key.pem", [], 90)
    return tmp_path


def said(text: str, folder: Path, now: datetime | None = None, least: Level = Level.WARNING) -> list[str]:
    """Findings of a configuration, without notes."""
    place = Place(folder, now=now or datetime.now(UTC))
    levels = [Level.ERROR, Level.WARNING] if least is Level.WARNING else list(Level)
    return [f"{one.level}: {one.key}: {one.text}" for one in check_text(text, "x", place) if one.level in levels]


def test_a_good_pair_has_no_findings(pair: Path) -> None:
    """As make_certificate.py makes it, for REST and gRPC."""
    assert said(TLS + "enable_grpc_ssl=true\n", pair) == []


@pytest.mark.parametrize(
    ("days", "message"),
    [
        (-1, "error: certificate_file: the certificate begins on"),
        (80, "warning: certificate_file: the certificate ends on"),
        (100, "error: certificate_file: the certificate ended on"),
    ],
)
def test_a_certificate_is_good_for_a_time(pair: Path, days: int, message: str) -> None:
    """One that has not begun, ends soon, or has ended."""
    (found,) = said(TLS, pair, datetime.now(UTC) + timedelta(days=days))
    assert found.startswith(message)


def test_a_key_of_another_certificate_is_an_error(pair: Path) -> None:
    """TorchServe starts with it, and every connection fails."""
    write_pair(pair / "other.pem", pair / "key.pem", [], 90, replace=True)
    assert said(TLS, pair) == [
        "error: certificate_file: is not of the key in private_key_file: every connection would fail; give the pair"
    ]


def pem(
    key: PrivateKeyTypes, form: PrivateFormat = PrivateFormat.PKCS8, locked: KeySerializationEncryption | None = None
) -> bytes:
    """A key as text."""
    return key.private_bytes(Encoding.PEM, form, locked or NoEncryption())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"-----BEGIN NOTHING-----\n", "must be a key in PEM, -----BEGIN PRIVATE KEY-----; found something else"),
        (
            pem(ec.generate_private_key(ec.SECP256R1())),
            "must be an RSA key, the only one that TorchServe's ciphers take; found EC: scripts/make_certificate.py makes one",
        ),
        (
            pem(rsa.generate_private_key(65537, 2048), locked=BestAvailableEncryption(b"x")),
            "is encrypted, and TorchServe has no place for its password: openssl pkey -in FILE -out FILE2",
        ),
    ],
    ids=["no key", "EC", "encrypted"],
)
def test_a_key_must_be_one_that_torchserve_reads(pair: Path, content: bytes, message: str) -> None:
    """Its ciphers are for RSA, and there is no password."""
    (pair / "key.pem").write_bytes(content)
    assert said(TLS, pair) == [f"error: private_key_file: {message}"]


def test_grpc_takes_no_old_form_of_a_key(pair: Path) -> None:
    """REST reads PKCS#1, gRPC ends the server."""
    key = load_pem_private_key((pair / "key.pem").read_bytes(), None)
    (pair / "key.pem").write_bytes(pem(key, PrivateFormat.TraditionalOpenSSL))
    assert said(TLS, pair) == []
    assert said(TLS + "enable_grpc_ssl=true\n", pair) == [
        "error: private_key_file: is PKCS#1, which gRPC cannot read: openssl pkcs8 -topk8 -nocrypt -in FILE -out FILE2"
    ]


def test_a_key_that_others_read_is_a_warning(pair: Path) -> None:
    """And the command that mends it."""
    (pair / "key.pem").chmod(0o644)
    assert said(TLS, pair) == ["warning: private_key_file: can be read by others: chmod 600 key.pem"]


def test_a_certificate_must_be_pem(pair: Path) -> None:
    """DER is named as such."""
    made = load_pem_x509_certificate((pair / "certificate.pem").read_bytes())
    (pair / "certificate.pem").write_bytes(made.public_bytes(Encoding.DER))
    assert said(TLS, pair) == ["error: certificate_file: must be PEM, -----BEGIN CERTIFICATE-----; found DER"]


def test_a_keystore_is_opened(pair: Path) -> None:
    """With its password, else that is said."""
    made = load_pem_x509_certificate((pair / "certificate.pem").read_bytes())
    key = load_pem_private_key((pair / "key.pem").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    content = pkcs12.serialize_key_and_certificates(b"x", key, made, None, BestAvailableEncryption(b"secret"))
    (pair / "keys.p12").write_bytes(content)
    assert said(STORE, pair) == []
    assert said(STORE.replace("secret", "wrong"), pair) == [
        "error: keystore_pass: does not open the keystore, or that is no PKCS#12 file"
    ]


def test_a_certificate_that_is_made_later_is_a_note(tmp_path: Path) -> None:
    """The configuration is right, and something is left to do."""
    assert said(TLS, tmp_path) == []
    assert "note: private_key_file: key.pem is not there yet, and TorchServe does not start without it: " in str(
        said(TLS, tmp_path, least=Level.NOTE)
    )


MODEL_CONFIGS = [
    ("batchsize: 8", "error: batchsize: unknown key, which TorchServe ignores: did you mean 'batchSize'?"),
    ("batch_size: 8", "error: batch_size: unknown key, which TorchServe ignores: did you mean 'batchSize'?"),
    ("mystery: 8", "note: mystery: is not TorchServe's; the handler may read it"),
    ('batchSize: "8"', "error: batchSize: must be a whole number of 1 or more, and is ignored otherwise; found '8'"),
    ("responseTimeout: 0", "error: responseTimeout: must be a whole number of 1 or more, and is ignored otherwise; found 0"),
    ("deviceType: tpu", "error: deviceType: must be one of cpu, gpu, and is ignored otherwise; found 'tpu'"),
    ("deviceIds: 0", "error: deviceIds: must be a list of whole numbers, and is ignored otherwise; found 0"),
    ("useVenv: 1", "error: useVenv: must be true or false, and is ignored otherwise; found 1"),
    ("minWorkers: 2\nmaxWorkers: 1", "error: maxWorkers: is 1, less than minWorkers 2"),
    ("minWorkers: 8\nmaxWorkers: 8", "warning: minWorkers: 8 workers on 4 cores; each would take all of them"),
    (
        "maxBatchDelay: 5000",
        "warning: maxBatchDelay: a lone request waits 5000 ms for others: while workers are busy a queue fills by itself",
    ),
    (
        "maxBatchDelay: 2000\nresponseTimeout: 2",
        "error: maxBatchDelay: 2000 ms is no less than responseTimeout: it is in milliseconds",
    ),
    (
        "batchSize: 8\njobQueueSize: 4",
        "error: batchSize: a batch of 8 never fills, since 4 requests wait at most (jobQueueSize)",
    ),
    ("asyncCommunication: true\nbatchSize: 4", "error: asyncCommunication: takes batches of 1; batchSize is 4"),
    ("torchrun: {nproc: 2}", "error: torchrun: unknown key 'nproc', which TorchServe ignores: did you mean 'nproc-per-node'?"),
    ("parallelType: pp", "error: parallelType: needs torchrun with nproc-per-node"),
    ("handlerkit: {runtme: eager}", "error: handlerkit: 'runtime' is required"),
    ("handlerkit: {runtime: eager, limit: {}}", "error: handlerkit: unknown key 'limit': did you mean 'limits'?"),
    ("- 1", "error: YAML: must be keys with values; found a CommentedSeq"),
    ("a: [", "error: YAML: cannot be read: "),
]


@pytest.mark.parametrize(("text", "message"), MODEL_CONFIGS, ids=[text for text, _ in MODEL_CONFIGS])
def test_a_mistake_in_a_model_config_is_named(text: str, message: str, tmp_path: Path) -> None:
    """TorchServe takes its own value for what is wrong, and says so in its log at most."""
    path = tmp_path / "model-config.yaml"
    path.write_text(text)
    found = [f"{one.level}: {one.key}: {one.text}" for one in check_file(path, Place(tmp_path))]
    assert any(one.startswith(message) for one in found), found


def test_a_model_config_is_found_in_an_archive(tmp_path: Path) -> None:
    """With the line in the file that is inside."""
    path = write_zip(tmp_path / "m.mar", ("model-config.yaml", b"# one\nbatchSize: 1\nmaxworkers: 2\n"))
    (found,) = check_file(path, Place(tmp_path))
    assert str(found) == f"{path}:3: error: maxworkers: unknown key, which TorchServe ignores: did you mean 'maxWorkers'?"


@pytest.mark.parametrize("name", ["bomb", "two-names", "encrypted", "manifest-huge"])
def test_an_archive_that_does_harm_is_not_read(name: str, tmp_path: Path) -> None:
    """As wherever else one is opened: the finding says why."""
    make, reason = HOSTILE[name]
    (found,) = check_file(make(tmp_path / "m.mar"), Place(tmp_path))
    assert str(found).startswith(f"{tmp_path}/m.mar: error: YAML: cannot be read: m.mar ")
    assert reason in str(found)


METRICS = [
    ("ts_metrics: {counters: []}", "error: ts_metrics: unknown kind 'counters': did you mean 'counter'?"),
    (
        "ts_metric: {}\nmodel_metrics:\n",
        "error: ts_metric: unknown section, which TorchServe ignores: did you mean 'ts_metrics'?",
    ),
    ("model_metrics: {gauge: [{name: a, unit: ms}]}", "error: model_metrics.gauge: a has no dimensions"),
    (
        "model_metrics: {gauge: [{name: a, unit: ms, dimension: [b], dimensions: []}]}",
        "error: model_metrics.gauge: a: unknown key 'dimension': did you mean 'dimensions'?",
    ),
    (
        "model_metrics: {gauge: [{name: a, unit: ms, dimensions: []}], counter: [{name: a, unit: ms, dimensions: []}]}",
        "error: model_metrics.counter: a is declared in model_metrics.gauge too: TorchServe keeps one of them",
    ),
    (
        "model_metrics: {gauge: [{name: marina_answers_total, unit: count, dimensions: []}]}",
        "error: marina_answers_total: handlers write it as counter with model_name, model_version, kind, status; "
        "found another form",
    ),
    (
        "model_metrics: {}",
        "warning: model_metrics: metrics of Marina's handlers are dropped, marina_answers_total first: "
        "take them from config/metrics.yaml",
    ),
]


@pytest.mark.parametrize(("text", "message"), METRICS, ids=[message for _, message in METRICS])
def test_a_mistake_in_metrics_yaml_is_named(text: str, message: str, tmp_path: Path) -> None:
    """By itself, and where a config.properties names the file."""
    path = tmp_path / "metrics.yaml"
    path.write_text(text)
    assert message in [f"{one.level}: {one.key}: {one.text}" for one in check_file(path, Place(tmp_path))]
    level, rest = message.split(": ", 1)
    assert f"{level}: metrics_config: metrics.yaml: {rest}" in said(
        "metrics_mode=prometheus\nmetrics_config=metrics.yaml", tmp_path
    )


LOGS = [
    ('<Logger name="MODEL_LOGS"/>', "MODEL_LOGS: TorchServe has no such logger: did you mean 'MODEL_LOG'?"),
    ('<Logger name="MODEL_LOG" level="inf"/>', "MODEL_LOG: unknown level 'inf': did you mean 'info'?"),
    ('<Logger name="MODEL_LOG"><AppenderRef ref="b"/></Logger>', "MODEL_LOG: writes to b, and there is no such appender"),
    ("<Logger", "XML: cannot be read: not well-formed (invalid token): line 1, column 89"),
]


@pytest.mark.parametrize(("logger", "message"), LOGS, ids=[message for _, message in LOGS])
def test_a_mistake_in_log4j2_is_named(logger: str, message: str, tmp_path: Path) -> None:
    """Where vmargs name the file."""
    (tmp_path / "log.xml").write_text(
        f'<Configuration><Appenders><Console name="a"/></Appenders><Loggers>{logger}<Root/></Loggers></Configuration>'
    )
    found = said("vmargs=-Dlog4j.configurationFile=log.xml", tmp_path)
    assert any(one.startswith(f"error: vmargs: log.xml: {message.split(': line', maxsplit=1)[0]}") for one in found), found


def test_our_logs_are_right() -> None:
    """config/log4j2.xml and config/metrics.yaml."""
    for path in (paths.CONFIG / "log4j2.xml", paths.METRICS_CONFIG):
        assert check_file(path, Place(paths.ROOT)) == []


def test_the_script_prints_findings_and_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Findings on stdout, a count on stderr; 1 for an error, and for a warning where that is asked."""
    right, wrong, doubtful = (tmp_path / f"{name}.properties" for name in ("right", "wrong", "doubtful"))
    right.write_text("debug=true\n")
    wrong.write_text("debugg=true\n")
    doubtful.write_text("cors_allowed_origin=*\n")
    assert call_script(capsys, "check_config", right).code == 0
    done = call_script(capsys, "check_config", right, wrong)
    assert (done.code, done.err) == (1, "files 2, errors 1, warnings 0, notes 2\n")
    assert f"{wrong}:1: error: debugg: unknown key, which TorchServe ignores: did you mean 'debug'?\n" in done.out
    assert call_script(capsys, "check_config", doubtful).code == 0
    assert call_script(capsys, "check_config", "--strict", doubtful).code == 1
    (found, *_) = json.loads(call_script(capsys, "check_config", "--json", wrong).out)
    assert found["line"] == 1
    assert found["level"] == "error"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.properties", None, "cannot be read: No such file or directory"),
        ("a.properties", b"a=\xff\n", "not text in UTF-8: byte 2 is 0xff"),
        ("a.txt", b"", "must be a config.properties, model-config.yaml, .mar, metrics.yaml or log4j2.xml"),
        ("a.mar", b"no zip", "must be a config.properties, model-config.yaml, .mar, metrics.yaml or log4j2.xml"),
        ("gone.yaml", None, "no such file"),
    ],
)
def test_what_cannot_be_looked_at_is_one_line(
    name: str, content: bytes | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And exit code 2."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = call_script(capsys, "check_config", tmp_path / name)
    assert (done.code, done.error) == (2, f"{tmp_path / name}: {message}")


def test_the_script_lists_the_keys(capsys: pytest.CaptureFixture[str]) -> None:
    """With type, default and meaning."""
    done = call_script(capsys, "check_config", "--keys")
    line = next(line for line in done.out.splitlines() if line.startswith("job_queue_size"))
    assert re.split(r"\s{2,}", line.strip()) == [
        "job_queue_size",
        "whole number",
        "100",
        "TS_JOB_QUEUE_SIZE",
        "requests of a version that wait; more are answered 503",
    ]


def test_this_machine_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ports that the compose file publishes, and that .env moves, are compared with the file's."""
    (tmp_path / "docker-compose.yml").write_text(
        'services:\n  torchserve: {ports: ["8080:8080"]}\n  grafana: {ports: ["127.0.0.1:${GRAFANA_PORT:-8081}:3000"]}\n'
        "  prometheus: {ports: [{published: 8082, target: 9090}]}\n"
    )
    (tmp_path / ".env").write_text("INFERENCE_PORT=7070\nMETRICS_PORT=many\n")
    for variable in ("INFERENCE_PORT", "METRICS_PORT"):
        monkeypatch.delenv(variable, raising=False)
    found = [f"{one.key}: {one.text}" for one in check_text("", "x", this_place(tmp_path, look_at_ports=False))]
    assert "management_address: port 8081 is published by docker-compose.yml for grafana: take another" in found
    assert "metrics_address: port 8082 is published by docker-compose.yml for prometheus: take another" in found
    assert (
        "inference_address: INFERENCE_PORT=7070, in the environment or in .env, is the port of grpc_inference_port too: "
        "take another" in found
    )
    assert "metrics_address: METRICS_PORT, in the environment or in .env, must be a port, 1 to 65535; found 'many'" in found


def test_the_ports_of_what_stands_beside_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway's is in no config.properties; moved onto one that is, it is said."""
    monkeypatch.setenv("GATEWAY_PORT", "8080")
    monkeypatch.setenv("RECORDER_PORT", "9999")
    found = [f"{one.key}: {one.text}" for one in check_text("", "x", this_place(tmp_path, look_at_ports=False))]
    assert [one for one in found if one.startswith(("gateway", "recorder"))] == [
        "gateway_port: GATEWAY_PORT=8080, in the environment or in .env, is the port of inference_address too: take another"
    ]


def test_a_taken_port_is_said() -> None:
    """By whom; a server that runs already is a note."""
    place = Place(paths.ROOT, holder=lambda port: {8080: " by nginx (pid 7)", 8081: " by java (pid 8)"}.get(port, ""))
    found = [f"{one.level}: {one.key}: {one.text}" for one in check_text("", "x", place)]
    assert "warning: inference_address: port 8080 is taken by nginx (pid 7): stop that, or take another" in found
    assert "note: management_address: port 8081 is taken by java (pid 8): stop that, or take another" in found


def test_the_script_makes_a_pair(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A key for its owner alone, and a certificate for the names that were asked for; nothing is replaced by itself."""
    done = call_script(
        capsys, "make_certificate", "--folder", tmp_path, "--name", "a.example", "--name", "10.0.0.7", "--days", "9"
    )
    assert done.code == 0
    made = load_pem_x509_certificate((tmp_path / "certificate.pem").read_bytes())
    names = made.extensions.get_extension_for_class(SubjectAlternativeName).value
    assert names.get_values_for_type(DNSName) == ["localhost", "a.example"]
    assert [str(one) for one in names.get_values_for_type(IPAddress)] == ["127.0.0.1", "::1", "10.0.0.7"]
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600
    assert f"good until {datetime.now(UTC) + timedelta(days=9):%Y-%m-%d}" in done.out
    again = call_script(capsys, "make_certificate", "--folder", tmp_path)
    assert (again.code, again.error) == (
        1,
        f"{tmp_path / 'certificate.pem'} is there: give --force to replace it; whoever trusts the old one must be given the new",
    )
    assert call_script(capsys, "make_certificate", "--folder", tmp_path, "--force").code == 0
    assert load_pem_x509_certificate((tmp_path / "certificate.pem").read_bytes()) != made
    assert sorted(path.name for path in tmp_path.iterdir()) == ["certificate.pem", "key.pem"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--name", "a b"], 2, "--name must be a host or an IP address; found 'a b'"),
        (["--folder", "/proc/nowhere"], 1, "/proc/nowhere/key.pem cannot be written: No such file or directory"),
    ],
)
def test_a_pair_that_cannot_be_made_is_one_line(
    arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Required, found; nothing is written."""
    done = call_script(capsys, "make_certificate", *arguments)
    assert (done.code, done.error) == (code, message)
