"""config/config.production.properties, for real: TLS and tokens on all that should have them."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from scripts_of_ours import Ended, run_script
from servers import READY, SAMPLE, Serving, eventually, serving

from marina import paths
from marina.config.self_signed import write_pair
from marina.paths import Store
from marina.serving.free_ports import free_ports

SECONDS_OF_A_TOKEN = 6


@pytest.fixture(scope="module")
def secured(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One version of digits, as the production configuration has it, with a certificate of the test's own."""
    folder = tmp_path_factory.mktemp("secured")
    write_pair(folder / "certificate.pem", folder / "key.pem", [], 60)
    config = folder / "config.production.properties"
    config.write_text(paths.PRODUCTION_CONFIG.read_text().replace("config/certificates", str(folder)))
    (folder / "deployment.yaml").write_text('models: {digits: {default: "1.0", versions: {"1.0": {}}}}')
    arguments = ("--no-gateway", "--config", config, "--deployment", folder / "deployment.yaml")
    with serving(free_ports(), store, folder, *arguments) as started:
        started.wait_for_output(READY)
        yield started


def url(server: Serving, api: str) -> str:
    """An address, with https."""
    return server.url("", api).replace("http://", "https://")


def keys(server: Serving) -> Path:
    """Where the start says that the tokens are."""
    return Path(next(line.split()[1] for line in server.output.splitlines() if line.startswith("tokens ")))


def ask(server: Serving, name: str, *arguments: str | Path, trusted: bool = True) -> Ended:
    """Run a script against it."""
    addresses: list[str | Path] = ["--management", url(server, "management")]
    addresses += ["--inference", url(server, "inference")] if name != "check_ready" else []
    certificate: list[str | Path] = ["--cacert", server.folder / "certificate.pem"] if trusted else []
    return run_script(name, *addresses, *certificate, *arguments)


def test_all_three_apis_speak_tls(secured: Serving) -> None:
    """Curl --cacert is answered by each; without the certificate, and over http, by none."""
    certificate = secured.folder / "certificate.pem"
    token = json.loads(keys(secured).read_text())
    paths_of = {"inference": "/ping", "management": "/models", "metrics": "/metrics"}
    for api, path in paths_of.items():
        header = ["-H", f"Authorization: Bearer {token[api]['key']}"] if api in token else []
        command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", *header, f"{url(secured, api)}{path}"]
        trusting = subprocess.run([*command, "--cacert", certificate], capture_output=True, text=True, check=False)
        assert (trusting.returncode, trusting.stdout) == (0, "200"), api
        assert subprocess.run(command, capture_output=True, check=False).returncode == 60, api  # not trusted
        assert requests.get(secured.url(path, api), timeout=30).status_code >= 400


def test_nobody_gets_in_without_a_token(secured: Serving) -> None:
    """Predictions and management are refused; no file of this machine is copied for whoever asks."""
    certificate = str(secured.folder / "certificate.pem")
    predicted = requests.post(f"{url(secured, 'inference')}/predictions/digits", data=b"x", verify=certificate, timeout=30)
    asked = {"url": "file:///etc/hostname"}
    registered = requests.post(f"{url(secured, 'management')}/models", params=asked, verify=certificate, timeout=30)
    assert predicted.status_code == registered.status_code == 400
    assert predicted.json()["type"] == registered.json()["type"] == "InvalidKeyException"
    token = json.loads(keys(secured).read_text())["management"]["key"]
    header = {"Authorization": f"Bearer {token}"}
    refused = requests.post(f"{url(secured, 'management')}/models", params=asked, headers=header, verify=certificate, timeout=30)
    assert refused.status_code >= 400
    assert not (secured.store.archives / "hostname").exists()


def test_an_address_that_is_not_listed_is_refused_and_nothing_is_fetched(secured: Serving) -> None:
    """Also by who has the token: a file, a way out of the store, and an archive that another server would give."""
    before = {path: path.stat().st_mtime_ns for path in secured.store.archives.iterdir()}
    header = {"Authorization": f"Bearer {json.loads(keys(secured).read_text())['management']['key']}"}
    trusted = str(secured.folder / "certificate.pem")
    with server_of(secured.store.archives) as (elsewhere, asked):
        urls = ["file:///etc/hostname", f"file://{secured.store.archives}/../index.json", f"{elsewhere}/digits-1.0.mar"]
        for url_of in [*urls, "../index.json", "/etc/hostname", "https://127.0.0.1:9/digits-1.0.mar"]:
            wanted = {"url": url_of, "model_name": "other", "initial_workers": "0"}
            at = f"{url(secured, 'management')}/models"
            assert requests.post(at, params=wanted, headers=header, verify=trusted, timeout=30).status_code >= 400, url_of
    assert asked == []
    assert {path: path.stat().st_mtime_ns for path in secured.store.archives.iterdir()} == before


def test_a_load_gets_in_as_well(secured: Serving) -> None:
    """With the certificate that is named and the token that is found, over TLS; nobody sees the token."""
    done = ask(secured, "benchmark_model", "digits", "--connections", "2", "--seconds", "1", "--warm-up", "0.2", "--json")
    assert done.code == 0, done.err
    (found,) = json.loads(done.out)["measurements"]
    assert set(found["statuses"]) == {"200"}
    assert json.loads(keys(secured).read_text())["inference"]["key"] not in done.out + done.err


@contextmanager
def server_of(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """A server that gives away a folder's files: its address, and what it has been asked for so far."""
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
            asked.append(self.path)

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert requests.get(f"{address}/digits-1.0.mar", timeout=30).ok  # it would have been given
        asked.clear()
        yield address, asked
        server.shutdown()


def test_no_secret_is_in_a_log_or_on_a_command_line(secured: Serving) -> None:
    """Neither a token nor the certificate's key, of all that the run has written, after they were used and misused."""
    tokens = [one["key"] for one in json.loads(keys(secured).read_text()).values()]
    certificate, key = secured.folder / "certificate.pem", secured.folder / "key.pem"
    for token in tokens:
        for api in ("inference", "management"):
            header = {"Authorization": f"Bearer {token}"}
            at = f"{url(secured, api)}/{'models' if api == 'management' else 'predictions/digits'}?token={token}"
            assert requests.get(at, headers=header, verify=str(certificate), timeout=30).status_code in (200, 400, 405, 422)
    assert ask(secured, "register_model", "list").code == 0
    secrets = [*tokens, *key.read_text().splitlines()[1:-1]]
    written = {path: path.read_text(errors="replace") for path in (secured.folder / "logs").rglob("*") if path.is_file()}
    written[secured.folder / "output"] = secured.output
    lines = {
        process.pid: " ".join(process.cmdline()) for process in [psutil.Process(secured.process.pid), *secured.remember_family()]
    }
    assert len(secrets) > 10
    assert len(lines) > 2
    assert [where for where, text in (written | lines).items() if any(secret in text for secret in secrets)] == []
    assert keys(secured).parent.stat().st_mode & 0o077 == 0  # nobody else reads the tokens


def test_scripts_find_the_tokens(secured: Serving) -> None:
    """Nothing but the addresses and the certificate is given."""
    listed = ask(secured, "register_model", "list")
    assert (listed.code, "digits-1.0.mar" in listed.out) == (0, True), listed.err
    ready = ask(secured, "check_ready", "--deployment", secured.folder / "deployment.yaml")
    assert ready.code == 0, ready.err
    answered = ask(secured, "query_model", "digits", SAMPLE, "--json")
    assert json.loads(answered.out)[0]["answer"][0]["label"] == "7", answered.err


def test_a_script_that_is_not_let_in_says_so_in_one_line(secured: Serving, tmp_path: Path) -> None:
    """The certificate is not trusted, the address is http's, the token is another server's, a file is not there."""
    management = url(secured, "management")
    assert ask(secured, "register_model", "list", trusted=False).error == (
        f"the certificate of {management} is not trusted: name it with --cacert FILE"
    )
    plain = run_script("register_model", "--management", secured.url("", "management"), "list")
    assert plain.error == f"{secured.url('', 'management')} speaks TLS alone: write https://"
    others = tmp_path / "key_file.json"
    token = {"key": "abcdefgh", "expiration time": "2999-01-01T00:00:00.123456789Z"}
    others.write_text(json.dumps({"management": token, "inference": token, "API": {"key": "ijklmnop"}}))
    assert ask(secured, "register_model", "--keys", others, "list").error == (
        f"{management} refuses the management token of {others}: it is another server's; give --keys FILE"
    )
    others.write_text("{}")
    assert ask(secured, "register_model", "--keys", others, "list").error == (
        f"{others}: must be TorchServe's key_file.json, with 'management'; found something else"
    )
    gone = tmp_path / "gone"
    assert run_script("register_model", "--keys", gone, "list").error == f"--keys: {gone} is no file"
    assert run_script("register_model", "--cacert", gone, "list").error == f"--cacert: {gone} is no file"


def test_logs_are_json_without_what_users_send(secured: Serving) -> None:
    """Every line is an object; query strings, which are a user's, are cut off."""
    token = json.loads(keys(secured).read_text())["inference"]["key"]
    asked = f"{url(secured, 'inference')}/predictions/digits?name=SecretOfAUser"
    header = {"Authorization": f"Bearer {token}"}
    answer = requests.post(asked, b"not an image", headers=header, verify=str(secured.folder / "certificate.pem"), timeout=30)
    assert answer.status_code == 422
    for log in ("access_log.log", "model_log.log", "ts_log.log"):
        lines = (secured.folder / "logs" / log).read_text().splitlines()
        assert lines
        assert all({"time", "level", "logger", "message"} <= json.loads(line).keys() for line in lines)
    written = "".join(path.read_text() for path in (secured.folder / "logs").glob("*.log"))
    assert "POST /predictions/digits HTTP/1.1" in written
    assert "SecretOfAUser" not in written
    assert token not in written


def test_a_token_that_has_ended_is_renewed(store: Store, tmp_path: Path) -> None:
    """Scripts that run after the tokens' time have TorchServe make new ones, and are answered."""
    config = tmp_path / "short.properties"
    text = paths.SERVER_CONFIG.read_text().replace("disable_token_authorization=true", "disable_token_authorization=false")
    config.write_text(f"{text}\ntoken_expiration_min={SECONDS_OF_A_TOKEN / 60}\n")
    (tmp_path / "deployment.yaml").write_text('models: {digits: {default: "1.0", versions: {"1.0": {}}}}')
    arguments = ("--no-gateway", "--config", config, "--deployment", tmp_path / "deployment.yaml")
    with serving(free_ports(), store, tmp_path / "server", *arguments) as started:
        started.wait_for_output(READY)
        first = json.loads(keys(started).read_text())
        assert _has_ended(started, first)
        for _ in range(2):
            done = run_script("query_model", "digits", SAMPLE, "--all-versions", "--json", environment=started.environment)
            assert json.loads(done.out)[0]["answer"][0]["label"] == "7", done.err
        renewed = json.loads(keys(started).read_text())
        assert all(renewed[api]["key"] != first[api]["key"] for api in ("inference", "management"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ("job_que_size=5", ":{line}: error: job_que_size: unknown key, which TorchServe ignores: did you mean 'job_queue_size'?"),
        ("inference_address=https://127.0.0.1:8080", ":{line}: error: inference_address: https needs private_key_file and"),
        (
            "keystore=keys.p12\nmanagement_address=https://127.0.0.1:8081",
            ": keystore: scripts trust the server by certificate_file:",
        ),
        (
            "certificate_file=gone.pem\nprivate_key_file=gone.key\nmanagement_address=https://127.0.0.1:8081",
            ": certificate_file: gone.pem is not there: scripts/make_certificate.py makes one",
        ),
    ],
)
def test_a_mistake_in_the_configuration_ends_the_start(changed: str, message: str, store: Store, tmp_path: Path) -> None:
    """By its line in the person's own file, before anything is built or started."""
    config = tmp_path / "mine.properties"
    keys_of = [line.split("=")[0] for line in changed.splitlines()]
    kept = [line for line in paths.SERVER_CONFIG.read_text().splitlines() if line.split("=")[0] not in keys_of]
    config.write_text("\n".join([*kept, changed, ""]))
    with serving(free_ports(), store, tmp_path / "server", "--no-gateway", "--config", config) as started:
        assert started.process.wait(60) == 1
    assert f"error: {config}{message.format(line=len(kept) + 1)}" in started.output
    assert "TorchServe answers" not in started.output


def _has_ended(server: Serving, first: dict[str, dict[str, str]]) -> bool:
    """Wait until TorchServe refuses the first token of the Management API."""
    header = {"Authorization": f"Bearer {first['management']['key']}"}
    return eventually(lambda: requests.get(server.url("/models", "management"), headers=header, timeout=30).status_code == 400)


def test_a_new_certificate_needs_a_restart(secured: Serving) -> None:
    """TorchServe reads the pair once: who trusts the old one is answered until then, who trusts the new one is not."""
    certificate, key = secured.folder / "certificate.pem", secured.folder / "key.pem"
    before = {path: path.read_bytes() for path in (certificate, key)}
    (secured.folder / "old.pem").write_bytes(before[certificate])
    try:
        write_pair(certificate, key, [], 60, replace=True)
        metrics = f"{url(secured, 'metrics')}/metrics"
        assert requests.get(metrics, verify=str(secured.folder / "old.pem"), timeout=30).status_code == 200
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(metrics, verify=str(certificate), timeout=30)
    finally:
        for path, content in before.items():
            path.write_bytes(content)
