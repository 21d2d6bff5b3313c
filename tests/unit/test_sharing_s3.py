"""The same by a real S3 server, over HTTP: what goes wrong on the way loses nothing, and is said in one line."""

from __future__ import annotations

import http.server
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from documents import commands
from moto.server import ThreadedMotoServer
from scripts_of_ours import Ended, call_script
from stores import add_version, make_store
from wire import Wire, wire_to

from marina import paths
from marina.errors import MarinaError
from marina.paths import Store
from marina.sharing import remote
from marina.sharing.pull import Pull
from marina.sharing.push import Push
from marina.sharing.remote import Remote
from marina.store.index import find_entry, read_index, verified_archive

BYTES = 24 << 20  # of one archive: three parts
ADDRESS = "s3://models/marina"
SECRET = "moto-takes-any-secret"  # noqa: S105 - and so it is none


@dataclass(frozen=True)
class S3:
    """A server, and the wire to it."""

    wire: Wire
    port: int

    def objects(self) -> list[str]:
        """The names of all objects of the bucket."""
        client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{self.port}")
        return [one["Key"] for one in client.list_objects_v2(Bucket="models").get("Contents", [])]

    def once(self, passed: int, happens: Callable[[], None]) -> None:
        """Let something happen when so many bytes more have passed."""
        self.wire.happens, self.wire.after = happens, self.wire.passed + passed


@pytest.fixture(scope="module")
def moto() -> Iterator[int]:
    """The port of a server."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture
def s3(moto: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[S3]:
    """The server with one empty bucket, found and entered by the variables that AWS's own tools read."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "moto")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    resource = boto3.resource("s3", endpoint_url=f"http://127.0.0.1:{moto}")
    bucket = resource.create_bucket(Bucket="models")
    with wire_to("127.0.0.1", moto) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{wire.port}")
        yield S3(wire, moto)
    bucket.objects.all().delete()
    bucket.delete()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path / "ours")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """With a version of 24 MB."""
    store = make_store(tmp_path_factory.mktemp("large") / "ours")
    add_version(store, Path(str(find_entry(store, "brightness", "1").spec)), "1", size_bytes=BYTES)
    return store


@pytest.fixture
def other(tmp_path: Path) -> Store:
    return Store(tmp_path / "theirs")


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Call a script for a store and the bucket."""
    return lambda name, store, *more: call_script(capsys, name, ADDRESS, *more, "--store", store.folder)


def test_a_bucket_holds_a_store(s3: S3, call: Callable[..., Ended], store: Store, other: Store) -> None:
    """Pushed and pulled as by a folder; the second time nothing moves; no credential is printed."""
    done = [call("push_store", store), call("push_store", store), call("pull_store", other), call("pull_store", other)]
    assert [one.code for one in done] == [0] * 4, done
    assert [one.err.count("nothing moves") for one in done] == [0, 2, 0, 2]
    assert not [one for one in done if SECRET in one.err + one.out]
    for version in ("1", "2"):
        verified_archive(other, find_entry(other, "brightness", version))
    assert sorted(key.split("/")[1] for key in s3.objects()) == ["entries", "entries", "objects", "objects"]


@pytest.mark.parametrize("replacing", [False, True])
def test_two_pushes_of_one_version_lose_nothing(s3: S3, store: Store, tmp_path: Path, replacing: bool) -> None:
    """New or replaced: S3 writes an entry only where it is still what was looked at."""
    if replacing:
        Push(make_store(tmp_path / "before", options={"size": [4, 4], "mode": "L", "top_k": 1}), Remote(ADDRESS), [], None).run()
    theirs = make_store(tmp_path / "other", options={"size": [4, 4], "mode": "L", "top_k": 2})
    first, second = (Push(one, Remote(ADDRESS), [], None, replacing) for one in (store, theirs))
    assert {move.action for move in first.moves + second.moves} == {"replace" if replacing else "new"}
    first.run()
    with pytest.raises(MarinaError, match="brightness 1 was pushed by somebody else meanwhile"):
        second.run()
    there = Pull(Store(tmp_path / "third"), Remote(ADDRESS), [], None)
    assert there.moves[0].shared.entry.sha256 == find_entry(store, "brightness", "1").sha256
    assert s3.wire.passed


@pytest.mark.parametrize("share", [0.01, 0.5, 0.95])
def test_a_killed_push_leaves_nothing_half(s3: S3, call: Callable[..., Ended], large: Store, other: Store, share: float) -> None:
    """By kill -9 at several moments: readers see no version that is not whole, and the same command does the rest."""
    killed(s3, "push_store", large, share)
    seen = call("pull_store", other)
    assert seen.code == 0 or seen.error == f"{ADDRESS} holds no models"
    assert call("push_store", large).code == 0
    assert call("pull_store", other).code == 0
    assert set(read_index(other).models["brightness"]) == {"1", "2"}


@pytest.mark.parametrize("share", [0.01, 0.5, 0.95])
def test_a_killed_pull_leaves_nothing_half(s3: S3, call: Callable[..., Ended], large: Store, other: Store, share: float) -> None:
    """By kill -9 at several moments: what has an archive's name is that archive, and the same command does the rest."""
    assert call("push_store", large).code == 0
    killed(s3, "pull_store", other, share)
    for path in other.archives.glob("*"):
        assert path.read_bytes() == (large.archives / path.name).read_bytes()
    for entry in read_index(other).models.get("brightness", {}).values():
        verified_archive(other, entry)
    assert call("pull_store", other).code == 0
    for version in ("1", "2"):
        verified_archive(other, find_entry(other, "brightness", version))
    assert not (other.folder / ".pull").exists()


def test_a_stopped_pull_is_one_line(s3: S3, call: Callable[..., Ended], large: Store, other: Store) -> None:
    """Ctrl-C in the middle: what has arrived stays, nothing else does, and no library says anything."""
    assert call("push_store", large).code == 0
    command = [sys.executable, "scripts/pull_store.py", ADDRESS, "brightness", "--version", "1", "--store", str(other.folder)]
    process = subprocess.Popen(command, cwd=paths.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    s3.once(BYTES // 2, lambda: process.send_signal(signal.SIGINT))
    assert process.communicate(timeout=60)[0] == "stopped\n"
    assert process.returncode == 130
    assert not list(other.archives.iterdir())


def killed(s3: S3, script: str, store: Store, share: float) -> None:
    """Run a script and kill it when a share of the large archive has passed."""
    command = [sys.executable, f"scripts/{script}.py", ADDRESS, "--store", str(store.folder)]
    process = subprocess.Popen(command, cwd=paths.ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    s3.once(int(BYTES * share), process.kill)
    assert process.wait(120) == -signal.SIGKILL


@pytest.mark.parametrize("script", ["push_store", "pull_store"])
def test_a_server_that_goes_is_one_line(s3: S3, call: Callable[..., Ended], large: Store, other: Store, script: str) -> None:
    """Gone in the middle of a transfer: no half archive, and when it is back the same command does the rest."""
    if script == "pull_store":
        assert call("push_store", large).code == 0
    store = {"push_store": large, "pull_store": other}[script]
    s3.once(BYTES // 2, s3.wire.cut)
    done = call(script, store)
    assert done.code == 1
    assert done.error.startswith(f"{ADDRESS}: does not answer")
    assert not list(other.archives.glob("*-1.mar"))
    s3.wire.is_cut = False
    assert call(script, store).code == 0
    assert SECRET not in done.err


def test_a_connection_that_breaks_is_no_fault(s3: S3, call: Callable[..., Ended], large: Store, other: Store) -> None:
    """The library tries again: whoever looks sees nothing of it."""
    s3.once(BYTES // 2, s3.wire.drop)
    assert call("push_store", large).code == 0
    s3.once(BYTES // 2, s3.wire.drop)
    assert call("pull_store", other).code == 0
    verified_archive(other, find_entry(other, "brightness", "1"))


def test_no_such_bucket_is_one_line(s3: S3, capsys: pytest.CaptureFixture[str], store: Store) -> None:
    """Buckets are made by who pays for them, not by a push."""
    for script in ("push_store", "pull_store"):
        done = call_script(capsys, script, "s3://no-such-bucket/x", "--store", store.folder)
        assert done.error.startswith(
            "s3://no-such-bucket/x: is not there (The specified bucket does not exist): create the bucket"
        )
        assert done.code == 1
    assert s3.wire.passed


def test_no_credentials_are_one_line(s3: S3, call: Callable[..., Ended], store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which variables to set; a half of them, too, and a profile that is not there."""
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "a part of the credentials is missing: set both AWS_ACCESS_KEY_ID" in call("push_store", store).error
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert call("push_store", store).error == (
        f"{ADDRESS}: no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
    )
    assert s3.objects() == []
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert "The config profile (nobody) could not be found" in call("push_store", store).error


def test_denied_access_is_one_line(s3: S3, call: Callable[..., Ended], store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's own words, and whose fault it may be."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        done = call("push_store", store)
        server.shutdown()
    assert done.error == f"{ADDRESS}: access denied (Access Denied): these credentials, or this user, may not do that"
    assert s3.objects() == []


@pytest.mark.parametrize("kind", ["refuses", "silent", "no name"])
def test_an_address_that_does_not_answer_is_one_line(
    s3: S3, call: Callable[..., Ended], store: Store, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a bounded wait, shortened here; where S3 is elsewhere, the variable that says so."""
    monkeypatch.setitem(remote.S3, "read_timeout", 0.5)
    monkeypatch.setitem(remote.S3, "retries", {"total_max_attempts": 1})
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = {"refuses": "127.0.0.1:1", "silent": f"127.0.0.1:{silent.getsockname()[1]}", "no name": "no.such.host.invalid"}[
            kind
        ]
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{where}")
        done = call("push_store", store)
    assert done.error.startswith(f"{ADDRESS}: does not answer (")
    assert done.error.endswith("is the address right? For S3 elsewhere than AWS set AWS_ENDPOINT_URL")
    assert s3.objects() == []


def test_the_wait_for_a_silent_server_is_bounded(
    s3: S3, call: Callable[..., Ended], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two minutes at the most: as often as it is asked, each time as long as it is waited for."""
    wait, taken = float(remote.S3["read_timeout"]), []
    monkeypatch.setitem(remote.S3, "read_timeout", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")

        def accept() -> None:
            with suppress(OSError):  # it is closed
                while True:
                    taken.append(silent.accept())

        threading.Thread(target=accept, daemon=True).start()
        assert "does not answer" in call("push_store", store).error
        silent.shutdown(socket.SHUT_RDWR)
    assert 1 < len(taken) <= 120 / wait
    assert s3.objects() == []


def test_every_command_prints_what_the_docs_say(s3: S3, store: Store, other: Store, tmp_path: Path) -> None:
    """docs/sharing.md from top to bottom: pushes from one store, pulls into another."""
    for version in ("1.0", "2.0"):
        add_version(store, paths.SPECS / "digits", version)
    (tmp_path / "scripts").symlink_to(paths.ROOT / "scripts")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "MANAGEMENT_PORT": "1"}
    for command in commands(paths.ROOT / "docs" / "sharing.md"):
        line = command.line.replace("push_store.py", f"push_store.py --store {store.folder}")
        line = re.sub(r"(pull_store|list_models)\.py", rf"\1.py --store {other.folder}", line)
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
        )
        assert command.printed(done.stdout), f"$ {command.line}\nthe document says:\n{command.output}\nit prints:\n{done.stdout}"
    assert s3.objects()


class Refusing(http.server.BaseHTTPRequestHandler):
    """Answers everything as S3 answers who may not."""

    def do_GET(self) -> None:
        """403."""
        body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing."""
