"""Tokens: sent where they belong, and nowhere else. Against a server that asks for one as TorchServe does."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from marina.config.self_signed import write_pair
from marina.errors import MarinaError
from marina.serving.access import Access
from marina.serving.inference import Inference
from marina.serving.management import Management

ASKED = {"code": 400, "type": "InvalidKeyException", "message": "Token Authorization failed. Token either incorrect, ..."}


class Asking(BaseHTTPRequestHandler):
    """Answers 400 without the right token, and remembers what it was given."""

    given: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        """As TorchServe: the list of models, for those who may see it."""
        self.given.append(self.headers["Authorization"])
        good = self.headers["Authorization"] == "Bearer right"
        body = json.dumps({"models": []} if good else ASKED).encode()
        self.send_response(200 if good else 400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        """The same for predictions."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Nothing on the tests' terminal."""


@pytest.fixture
def port() -> Iterator[int]:
    """Of a server that answers at every address of loopback."""
    Asking.given.clear()
    server = ThreadingHTTPServer(("0.0.0.0", 0), Asking)  # noqa: S104 - reached as 127.0.0.2, which stands for another machine
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture
def tls_port(tmp_path: Path) -> Iterator[int]:
    """Of the same server with TLS, for localhost and 127.0.0.1 alone."""
    write_pair(tmp_path / "certificate.pem", tmp_path / "key.pem", [], 9)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    server = ThreadingHTTPServer(("0.0.0.0", 0), Asking)  # noqa: S104 - as above
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def key_file(folder: Path, key: str = "right", ends: datetime | None = None) -> Path:
    """As TorchServe writes it."""
    ends = ends or datetime.now(UTC) + timedelta(hours=1)
    token = {"key": key, "expiration time": f"{ends:%Y-%m-%dT%H:%M:%S}.123456789Z"}
    path = folder / "key_file.json"
    path.write_text(json.dumps({"management": token, "inference": token, "API": {"key": "third"}}))
    return path


def test_a_token_is_sent_when_it_is_asked_for(port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """First without; then with that of the folder where TorchServe was started; from then on at once."""
    key_file(tmp_path)
    monkeypatch.chdir(tmp_path)
    management = Management(f"http://127.0.0.1:{port}")
    assert management.models() == {}
    assert management.models() == {}
    assert Asking.given == [None, "Bearer right", "Bearer right"]


def test_a_token_that_was_found_goes_to_this_machine_alone(port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine that asks for one does not get ours, be it asked for predictions or for models."""
    key_file(tmp_path)
    monkeypatch.chdir(tmp_path)
    elsewhere = f"http://127.0.0.2:{port}"
    message = f"{elsewhere} asks for a token, and no key_file.json is looked for, for another machine: give --keys FILE"
    with pytest.raises(MarinaError, match=message):
        Management(elsewhere).models()
    with pytest.raises(MarinaError, match=message):
        Inference(elsewhere, Access(f"http://127.0.0.1:{port}")).ask("m", b"x")
    assert Asking.given == [None, None]


def test_a_token_that_is_given_goes_where_it_is_sent(port: int, tmp_path: Path) -> None:
    """The person named the file, and the address."""
    access = Access(f"http://127.0.0.2:{port}", keys=key_file(tmp_path))
    assert Management(access.management, access).models() == {}


def test_no_token_to_be_found_is_one_line(port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked for, where it was looked for, and what to give."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("marina.paths.ROOT", tmp_path)
    with pytest.raises(MarinaError, match=r"asks for a token, and no key_file.json was found on this machine: give --keys FILE"):
        Management(f"http://127.0.0.1:{port}").models()


@pytest.mark.parametrize(
    ("hours", "message"),
    [
        (1, "refuses the management token of .*key_file.json: it is another server's; give --keys FILE"),
        (-1, "the management token of .*key_file.json has ended, and .*/token makes no new one: restart the server"),
    ],
    ids=["good", "ended"],
)
def test_a_token_that_is_refused_is_one_line(port: int, tmp_path: Path, hours: int, message: str) -> None:
    """Another server's, or one that has ended and cannot be renewed."""
    keys = key_file(tmp_path, "wrong", datetime.now(UTC) + timedelta(hours=hours))
    access = Access(f"http://127.0.0.1:{port}", keys=keys)
    with pytest.raises(MarinaError, match=message):
        Management(access.management, access).models()


def test_a_certificate_is_trusted_where_it_is_named(tls_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By --cacert, also beside a REQUESTS_CA_BUNDLE of others; by that alone; and not by itself."""
    certificate, keys = tmp_path / "certificate.pem", key_file(tmp_path)
    address = f"https://127.0.0.1:{tls_port}"
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    with pytest.raises(MarinaError, match=f"the certificate of {address} is not trusted: name it with --cacert FILE"):
        Management(address, Access(address, keys=keys)).models()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    assert Management(address, Access(address, keys=keys)).models() == {}
    write_pair(tmp_path / "other.pem", tmp_path / "other.key", [], 9)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "other.pem"))
    assert Management(address, Access(address, cacert=certificate, keys=keys)).models() == {}


def test_a_certificate_for_another_name_is_one_line(tls_port: int, tmp_path: Path) -> None:
    """Unless it is that of a server that we started ourselves."""
    certificate, keys = tmp_path / "certificate.pem", key_file(tmp_path)
    address = f"https://127.0.0.2:{tls_port}"
    message = (
        f"the certificate of {address} is for another name: ask by that, or make one with scripts/make_certificate.py --name"
    )
    with pytest.raises(MarinaError, match=message):
        Management(address, Access(address, cacert=certificate, keys=keys)).models()
    assert Management(address, Access(address, pinned=certificate, keys=keys)).models() == {}


def test_https_where_there_is_none_is_one_line(port: int) -> None:
    """And what to write."""
    with pytest.raises(MarinaError, match=f"https://127.0.0.1:{port} speaks no TLS: write http://"):
        Management(f"https://127.0.0.1:{port}").models()
