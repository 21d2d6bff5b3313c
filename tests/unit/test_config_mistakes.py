"""Mistakes in a config.properties: each has its line, and says what to write."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from marina import paths
from marina.config.check import check_text
from marina.config.findings import Level
from marina.config.place import Place, this_place
from marina.config.settings import parse_settings

RIGHT = paths.SERVER_CONFIG.read_text()
SMALL = Place(paths.ROOT, {"TS_JOB_QUEUE_SIZE": "7"}, cores=2, memory_bytes=8 * 2**30, published={9090: "prometheus"})

# What is added to, or replaced in, config/config.properties; how bad it is; of which key; what is said.
MISTAKES = [
    # Keys
    ("job_que_size=10", "error", "job_que_size", "unknown key, which TorchServe ignores: did you mean 'job_queue_size'?"),
    (
        "Inference-Address=x",
        "error",
        "Inference-Address",
        "unknown key, which TorchServe ignores: did you mean 'inference_address'?",
    ),
    (
        "model_api_enabled=true",
        "error",
        "model_api_enabled",
        "unknown key, which TorchServe ignores: did you mean 'enable_model_api'?",
    ),
    (
        "colour=red",
        "error",
        "colour",
        "unknown key, which TorchServe 0.12.0 ignores: delete it; check_config.py --keys lists those that there are",
    ),
    (
        "batch_size=8",
        "error",
        "batch_size",
        "TorchServe ignores it: it belongs to a version: write batchSize in 'models', or in model-config.yaml",
    ),
    ("metrics_format=prometheus", "warning", "metrics_format", "TorchServe 0.12.0 ignores it: write metrics_mode=prometheus"),
    (
        "job_queue_size=10\njob_queue_size=20",
        "warning",
        "job_queue_size",
        "stands on line 28 too, which does not count: the last one does, '20'",
    ),
    # Values
    (
        "prefer_direct_buffer=yes",
        "error",
        "prefer_direct_buffer",
        "must be true or false; found 'yes', which TorchServe takes for false",
    ),
    ("debug=true ", "error", "debug", "ends with a blank, which TorchServe takes as part of the value: 'true '"),
    (
        'workflow_store="model_store"',
        "error",
        "workflow_store",
        "is in quotes, which TorchServe takes as part of the value: write model_store",
    ),
    ("number_of_netty_threads=4.5", "error", "number_of_netty_threads", "must be a whole number, 0 to 2147483647; found '4.5'"),
    ("max_request_size=10MB", "error", "max_request_size", "must be a whole number, 1 to 2147483647; found '10MB'"),
    ("max_response_size=3000000000", "error", "max_response_size", "must be a whole number, 1 to 2147483647; found '3000000000'"),
    ("io_ratio=101", "error", "io_ratio", "must be a whole number, 1 to 100; found '101'"),
    ("metric_time_interval=0", "error", "metric_time_interval", "must be a whole number, 1 to 2147483647; found '0'"),
    (
        "token_expiration_min=1h",
        "error",
        "token_expiration_min",
        "must be a number above 0; found '1h', which TorchServe takes for 60",
    ),
    (
        "metrics_mode=prometeus",
        "error",
        "metrics_mode",
        "must be one of log, prometheus, legacy; found 'prometeus', and TorchServe takes log",
    ),
    ("service_envelope=kfserving", "error", "service_envelope", "must be one of body, json, kserve, kservev2; found 'kfserving'"),
    ("default_response_timeout=", "error", "default_response_timeout", "has no value: give one, or delete the line"),
    ("blacklist_env_vars=[", "error", "blacklist_env_vars", "'[' is no regular expression: unterminated character set"),
    (
        "job_queue_size=$$QUEUE$$",
        "error",
        "job_queue_size",
        "the variable QUEUE is not set, and TorchServe does not start without it: set it, or write the value",
    ),
    (
        "default_service_handler=\\u12G4",
        "error",
        "\\u12G4",
        "is no character, and TorchServe does not start: write \\uXXXX, or \\\\u",
    ),
    (
        "cors_allowed_origin=https://é",
        "error",
        "cors_allowed_origin",
        "is not ASCII, and TorchServe reads it as Latin-1: write \\uXXXX",
    ),
    # The launcher
    (
        "model_store: model_store",
        "error",
        "model_store",
        "the launcher reads 'model_store/archives': write model_store=VALUE, on one line, without escapes",
    ),
    (
        "vmargs=-Xmx512m \\\n -Xms64m",
        "error",
        "vmargs",
        "the launcher reads '-Xmx512m \\\\': write vmargs=VALUE, on one line, without escapes",
    ),
    # Addresses
    (
        "inference_address=http://127.0.0.1:8080/",
        "error",
        "inference_address",
        "must be http://HOST:PORT, https://HOST:PORT or unix:/PATH; found 'http://127.0.0.1:8080/': "
        "write it without the slash at its end",
    ),
    (
        "inference_address=http://[::1]:8080",
        "error",
        "inference_address",
        "must be http://HOST:PORT, https://HOST:PORT or unix:/PATH; found 'http://[::1]:8080': TorchServe takes no IPv6 address, "
        "write a name",
    ),
    ("metrics_address=http://127.0.0.1:70000", "error", "metrics_address", "must have a port, 1 to 65535; found 70000"),
    (
        "grpc_inference_port=http://127.0.0.1:7070",
        "error",
        "grpc_inference_port",
        "must be a port, 1 to 65535; found 'http://127.0.0.1:7070'",
    ),
    (
        "grpc_management_address=http://127.0.0.1",
        "error",
        "grpc_management_address",
        "must be a host, without scheme and port; found 'http://127.0.0.1'",
    ),
    (
        "metrics_address=http://127.0.0.1:8081",
        "error",
        "metrics_address",
        "port 8081 is that of management_address too: give them different ports",
    ),
    (
        "grpc_inference_port=9090",
        "error",
        "grpc_inference_port",
        "port 9090 is published by docker-compose.yml for prometheus: take another",
    ),
    (
        "inference_address=http://127.0.0.1:80",
        "warning",
        "inference_address",
        "port 80 is for root alone: take one of 1024 or more",
    ),
    (
        "management_address=http://0.0.0.0:8081",
        "error",
        "management_address",
        "whoever reaches 0.0.0.0:8081 manages models, without token or TLS: write 127.0.0.1, "
        "or delete disable_token_authorization and write https://0.0.0.0:8081",
    ),
    (
        "management_address=http://0.0.0.0:8081\ndisable_token_authorization=false",
        "warning",
        "management_address",
        "tokens travel readable to 0.0.0.0:8081: write 127.0.0.1, or https://0.0.0.0:8081",
    ),
    (
        "grpc_management_address=0.0.0.0",
        "error",
        "grpc_management_port",
        "whoever reaches 0.0.0.0:7071 manages models, without token or TLS: write 127.0.0.1, "
        "or delete disable_token_authorization and write enable_grpc_ssl=true",
    ),
    (
        "metrics_address=http://0.0.0.0:8082",
        "warning",
        "metrics_address",
        "whoever reaches 0.0.0.0:8082 reads the metrics, which no token guards: write 127.0.0.1",
    ),
    (
        "management_address=http://127.0.0.1:8080",
        "note",
        "management_address",
        "is inference_address: whoever may ask for predictions reaches the management, too",
    ),
    ("use_native_io=false\nmetrics_address=unix:/tmp/m", "error", "metrics_address", "a Unix socket needs use_native_io=true"),
    # Encryption
    (
        "inference_address=https://127.0.0.1:8080",
        "error",
        "inference_address",
        "https needs private_key_file and certificate_file, or keystore: scripts/make_certificate.py makes one",
    ),
    (
        "enable_grpc_ssl=true\nkeystore=keys.p12",
        "error",
        "enable_grpc_ssl",
        "needs private_key_file and certificate_file, and takes no keystore: scripts/make_certificate.py makes one",
    ),
    ("keystore=keys.p12", "warning", "keystore", "is not used: no address begins with https://"),
    ("keystore=keys.p12", "warning", "keystore_pass", "is the one that everybody knows, changeit: take another"),
    (
        "keystore=keys.p12",
        "note",
        "keystore",
        "keys.p12 is not there yet, and TorchServe does not start without it: scripts/make_certificate.py makes one",
    ),
    # Where archives come from, and who calls
    (
        "allowed_urls=file://.*",
        "error",
        "allowed_urls",
        r"file://.* accepts file:///etc/hostname: write file:///PATH/OF/ARCHIVES/[A-Za-z0-9._-]+\\.mar",
    ),
    (
        "allowed_urls=https?://.*",
        "error",
        "allowed_urls",
        r"https?://.* accepts http://169.254.169.254/latest.mar: "
        r"write file:///PATH/OF/ARCHIVES/[A-Za-z0-9._-]+\\.mar",
    ),
    ("allowed_urls=file://[", "error", "allowed_urls", "'file://[' is no regular expression: unterminated character set"),
    (
        "allowed_urls=https://models.example.com/.*",
        "warning",
        "allowed_urls",
        r"the dot in models.example.com stands for any character: write \\. for a dot",
    ),
    ("allowed_urls=file:///archives/.+\\.mar", "error", "allowed_urls", r"TorchServe reads \. as .: write \\."),
    ("allowed_urls=file://", "error", "allowed_urls", "file:// accepts that address and no archive below it: write file://.*"),
    (
        "use_env_allowed_urls=true\nenable_envvars_config=true",
        "warning",
        "use_env_allowed_urls",
        "whoever sets TS_ALLOWED_URLS decides where archives come from: delete it",
    ),
    (
        "cors_allowed_origin=*",
        "warning",
        "cors_allowed_origin",
        "* lets every page that a user of this network opens call: name the origin, https://HOST",
    ),
    (
        "cors_allowed_methods=GET, FETCH\ncors_allowed_origin=https://a.example",
        "error",
        "cors_allowed_methods",
        "must be methods with commas, as GET, POST; found 'FETCH'",
    ),
    (
        "install_py_dep_per_model=true",
        "warning",
        "install_py_dep_per_model",
        "whoever registers an archive installs packages on this machine, at each load: build them into the image",
    ),
    # Versions
    ('models={"m": ', "error", "models", "is no JSON: Expecting value at character 7: a line but the last must end with \\"),
    ('models={"m": {"batchSize": 1}}', "error", "models", 'must be {"MODEL": {"VERSION": {"marName": …}}}; found another shape'),
    (
        'models={"m": {"1": {"batchsize": 4}}}',
        "error",
        "models",
        "m 1: unknown key 'batchsize', which TorchServe ignores: did you mean 'batchSize'?",
    ),
    (
        'models={"m": {"1": {"minWorkers": "4"}}}',
        "error",
        "models",
        'm 1: minWorkers must be a whole number of 1 or more, and is ignored otherwise; found "4"',
    ),
    ('models={"m": {"1": {"minWorkers": 2, "maxWorkers": 1}}}', "error", "models", "m 1: minWorkers 2 is more than maxWorkers 1"),
    (
        'models={"m": {"1": {"defaultVersion": true}, "2": {"defaultVersion": true}}}',
        "error",
        "models",
        "m: 1 and 2 are both the default: leave defaultVersion true in one",
    ),
    (
        'models={"m": {"1": {"batchSize": 200}}}',
        "error",
        "models",
        "m 1: a batch of 200 never fills, since 100 requests wait at most (job_queue_size)",
    ),
    (
        'models={"m": {"1": {"maxBatchDelay": 5000, "responseTimeout": 5}}}',
        "error",
        "models",
        "m 1: maxBatchDelay 5000 ms is no less than its responseTimeout: it is in milliseconds",
    ),
    (
        'models={"m": {"1": {"minWorkers": 20}}}',
        "warning",
        "models",
        "20 workers take 12 GB before any weights; this machine has 8 GB",
    ),
    (
        "model_store=config\nload_models=gone.mar",
        "error",
        "load_models",
        "gone.mar is not in config, and TorchServe starts without it",
    ),
    (
        'model_store=config\nmodel_snapshot={"models": {"m": {"1": {"marName": "gone.mar"}}}}',
        "error",
        "model_snapshot",
        "m 1: gone.mar is not in config",
    ),
    (
        'load_models=all\nmodel_snapshot={"models": {}}',
        "warning",
        "load_models",
        "is not looked at, since model_snapshot is given: keep one of them",
    ),
    # The machine
    ("vmargs=-Xmx16g", "error", "vmargs", "-Xmx gives Java 16.0 GB; this machine has 8.0 GB"),
    ("vmargs=-Xmx1gb", "error", "vmargs", "must be as -Xmx1g or -Xms512m; found '-Xmx1gb', with which Java does not start"),
    ("vmargs=-Xms2g -Xmx1g", "error", "vmargs", "-Xms, 2.0 GB, is more than -Xmx, 1.0 GB: Java does not start"),
    ("vmargs=Xmx1g", "error", "vmargs", "arguments of Java begin with -; found 'Xmx1g', which it takes for a class"),
    (
        "vmargs=-Xmx512m\njob_queue_size=1000",
        "warning",
        "job_queue_size",
        "1000 requests of max_request_size take 6.1 GB, Java's heap is 0.5 GB: raise -Xmx in vmargs, or lower one of them",
    ),
    (
        "default_workers_per_model=8",
        "warning",
        "default_workers_per_model",
        "8 workers for each version on 2 cores; each would take all",
    ),
    (
        "number_of_netty_threads=32",
        "warning",
        "number_of_netty_threads",
        "32 threads on 2 cores do nothing but wait: 0 takes as many as cores",
    ),
    (
        "max_request_size=100000000",
        "note",
        "max_request_size",
        "100 MB are let through; handlers of Marina refuse what is over 32 MB, unless a spec's limits say more",
    ),
    ("token_expiration_min=5", "warning", "token_expiration_min", "does nothing with disable_token_authorization=true"),
    (
        "enable_envvars_config=true",
        "note",
        "job_queue_size",
        "TS_JOB_QUEUE_SIZE of the environment goes before the file: '7'",
    ),
    # Files
    ("metrics_config=config/metric.yaml", "error", "metrics_config", "config/metric.yaml is not there"),
    (
        "vmargs=-Dlog4j.configurationFile=config/log.xml",
        "error",
        "vmargs",
        "config/log.xml is not there, and TorchServe would log as it does by default",
    ),
    ("metrics_mode=log", "warning", "metrics_mode", "leaves the Metrics API empty: write metrics_mode=prometheus"),
    ("enable_metrics_api=false", "warning", "metrics_address", "does nothing with enable_metrics_api=false"),
]


@pytest.mark.parametrize(("added", "level", "key", "text"), MISTAKES, ids=[f"{one[0][:40]}-{one[2]}" for one in MISTAKES])
def test_a_mistake_is_named(added: str, level: str, key: str, text: str) -> None:
    """One mistake beside what is right: the finding says how bad, of which key, on which line, and what to write."""
    changed = _without(RIGHT, added) + added + "\n"
    found = [(str(one.level), one.key, one.text) for one in check_text(changed, "config.properties", SMALL)]
    assert (level, key, text) in found, found


def test_there_are_forty_mistakes() -> None:
    """And each has a message of its own."""
    assert len(MISTAKES) > 40
    assert len({(key, text) for _, _, key, text in MISTAKES}) == len(MISTAKES)


@pytest.mark.parametrize("path", [paths.SERVER_CONFIG, paths.PRODUCTION_CONFIG], ids=lambda path: path.name)
def test_our_own_files_have_none(path: Path) -> None:
    """No error and no warning; what the build or make_certificate.py makes later is a note."""
    place = this_place(paths.ROOT, look_at_ports=False)
    assert [str(one) for one in check_text(path.read_text(), path.name, place) if one.level is not Level.NOTE] == []


def test_a_finding_has_the_line_of_its_key() -> None:
    """Counted as an editor does, also behind values that go over several lines."""
    text = 'models={\\\n  "m": {}\\\n}\n# a comment\n\ndebug=yes\n'
    (found,) = [one for one in check_text(text, "my.properties", Place(Path())) if one.key == "debug"]
    assert str(found) == "my.properties:6: error: debug: must be true or false; found 'yes', which TorchServe takes for false"


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("model_store = archives", "archives"),
        ("model_store:archives", "archives"),
        ("model_store archives", "archives"),
        ("model_store=arch\\\n   ives", "archives"),
        ("model_store=a\\u0062c", "abc"),
        ("model_store=$$WHERE$$/archives", "/data/archives"),
        ("#model_store=x\n!model_store=y\nmodel_store=archives", "archives"),
    ],
)
def test_a_file_is_read_as_java_reads_it(line: str, value: str) -> None:
    """Blanks, colons, continued lines, escapes, variables and both kinds of comment."""
    assert parse_settings(line, "x", {"WHERE": "/data"}).value("model_store") == value


PUBLIC = {
    "a container": (
        "inference_address=http://0.0.0.0:8080\nmanagement_address=http://0.0.0.0:8081\nmetrics_address=http://0.0.0.0:8082\n"
        "number_of_netty_threads=32\njob_queue_size=1000\nmodel_store=/home/somebody/model-store\n"
    ),
    "KServe": (
        "inference_address=http://0.0.0.0:8085\nmanagement_address=http://0.0.0.0:8085\nmetrics_address=http://0.0.0.0:8082\n"
        "enable_envvars_config=true\ninstall_py_dep_per_model=true\nmetrics_format=prometheus\nNUM_WORKERS=1\njob_queue_size=10\n"
        'model_snapshot={"name":"startup.cfg","modelCount":1,"models":{"m":{"1.0":{"defaultVersion":true,"marName":"m.mar",'
        '"minWorkers":1,"maxWorkers":5,"batchSize":5,"maxBatchDelay":5000,"responseTimeout":120}}}}\n'
    ),
    "models over lines": (
        'load_models=all\nmodels={\\\n  "m": {\\\n    "1.0": {\\\n      "marName": "m.mar",\\\n'
        '      "batchSize": 4\\\n    }\\\n  }\\\n}\n'
    ),
    "TLS": (
        "inference_address=https://127.0.0.1:8443\nmanagement_address=unix:/tmp/management.sock\n"
        "private_key_file=elsewhere/key.pem\ncertificate_file=elsewhere/certs.pem\nasync_logging=true\n"
    ),
    "Java": "vmargs=-Xmx4g -XX:+ExitOnOutOfMemoryError -XX:+HeapDumpOnOutOfMemoryError\nprefer_direct_buffer=True\n",
    "blanks before the keys": " inference_address = http://localhost:3000\n\tmanagement_address: http://localhost:3001\n",
    "pages of browsers": "cors_allowed_origin=https://here.example\ncors_allowed_methods=GET, POST, OPTIONS\n",
    "names for archives": "model_store=models\nload_models=cats=cats-v2.mar,dogs.mar\nnumber_of_gpu=1\n",
    "a launcher": "cpu_launcher_enable=true\ncpu_launcher_args=--ninstances=1 --skip-cross-node-cores\nipex_enable=true\n",
    "nothing": "# all as TorchServe has it\n",
}


@pytest.mark.parametrize("text", PUBLIC.values(), ids=PUBLIC)
def test_files_as_others_write_them_have_no_error(text: str, tmp_path: Path) -> None:
    """Configurations with the keys of public samples: perhaps warnings, but no false alarm."""
    found = check_text(text, "config.properties", Place(tmp_path, now=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)))
    assert [str(one) for one in found if one.level is Level.ERROR] == []


def _without(text: str, added: str) -> str:
    """The text with those lines blank that the added ones replace, so that no key stands twice."""
    keys = {line.split("=")[0].strip() for line in added.splitlines() if "=" in line}
    return "\n".join("" if line.split("=")[0] in keys else line for line in text.splitlines()) + "\n"
