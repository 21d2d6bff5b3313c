"""Entries signed by who pushed them, and taken only from those allowed; by OpenSSH's own program."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from scripts_of_ours import Ended, call_script
from stores import document, make_store

from marina.paths import Store
from marina.store.index import read_index

Script = Callable[..., Ended]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("signed") / "ours")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with keys of anna and bert, and a file that allows anna."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("anna", "bert"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    (folder / "allowed").write_text(f"anna {(folder / 'anna.pub').read_text()}")
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "shared").mkdir()
    return tmp_path / "shared"


@pytest.fixture
def push(store: Store, place: Path, capsys: pytest.CaptureFixture[str]) -> Script:
    return lambda *arguments: call_script(capsys, "push_store", place, *arguments, "--store", store.folder)


@pytest.fixture
def pull(keys: Path, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Script:
    signers = ("--allowed-signers", keys / "allowed", "--store", tmp_path / "theirs")
    return lambda *arguments: call_script(capsys, "pull_store", place, "brightness", *signers, *arguments)


def test_what_an_allowed_signer_pushed_is_taken(push: Script, pull: Script, keys: Path) -> None:
    """Who signed each version is said."""
    assert push("--sign", keys / "anna").code == 0
    done = pull()
    assert done.code == 0, done.err
    assert "brightness 1: signed by anna" in done.err


def test_what_is_not_signed_is_refused(push: Script, pull: Script, keys: Path, tmp_path: Path) -> None:
    """It can be signed later, by who has the same archive; nothing moves then but the entry."""
    assert push().code == 0
    assert pull().error == "brightness 1 is not signed, and --allowed-signers takes what is: push it again with --sign KEY"
    assert not (tmp_path / "theirs").exists()
    assert push("--sign", keys / "anna").err.count(": signed") == 2
    assert push("--sign", keys / "anna").err.count("nothing moves") == 2
    assert pull().code == 0


def test_what_somebody_else_signed_is_refused(push: Script, pull: Script, keys: Path) -> None:
    """A signature alone is no reason."""
    assert push("--sign", keys / "bert").code == 0
    done = pull()
    assert done.error.startswith(f"brightness 1 is signed by nobody whom {keys / 'allowed'} names (")
    assert done.error.endswith("): it is refused")


@pytest.mark.parametrize("key", ["sha256", "accuracy", "runtime"])
def test_an_entry_changed_since_it_was_signed_is_refused(push: Script, pull: Script, keys: Path, place: Path, key: str) -> None:
    """Whatever was changed: the digest of the archive, or what was measured of it."""
    assert push("--sign", keys / "anna").code == 0
    path = place / "entries" / "brightness" / "1.json"
    content = document(path)
    content["entry"][key] = {"sha256": "0" * 64, "accuracy": None, "runtime": "onnx"}[key]
    path.write_text(json.dumps(content))
    done = pull("--version", "1", "--replace")
    assert done.error.startswith("brightness 1 is not what anna signed (")
    assert pull("--version", "2").code == 0


def test_a_signature_of_another_version_is_refused(push: Script, pull: Script, keys: Path, place: Path) -> None:
    """The name is signed, too."""
    assert push("--sign", keys / "anna").code == 0
    first, second = (place / "entries" / "brightness" / f"{version}.json" for version in ("1", "2"))
    first.write_text(json.dumps(document(first) | {"signature": document(second)["signature"]}))
    assert "brightness 1 is not what anna signed" in pull().error


def test_a_signature_that_is_none_is_refused(push: Script, pull: Script, place: Path) -> None:
    """OpenSSH says what it thinks of it."""
    assert push().code == 0
    path = place / "entries" / "brightness" / "1.json"
    path.write_text(json.dumps(document(path) | {"signature": "trust me"}))
    assert "brightness 1 is signed by nobody whom" in pull().error


def test_a_signature_for_something_else_is_refused(push: Script, pull: Script, keys: Path, place: Path) -> None:
    """One made as of a file or of a Git commit, by the same key over the same text."""
    assert push("--sign", keys / "anna").code == 0
    path = place / "entries" / "brightness" / "1.json"
    content = document(path)
    unsigned = {name: value for name, value in content.items() if name != "signature"}
    text = json.dumps(unsigned, sort_keys=True, separators=(",", ":")).encode()
    command = ["ssh-keygen", "-Y", "sign", "-f", str(keys / "anna"), "-n", "git"]
    signature = subprocess.run(command, input=text, capture_output=True, check=True).stdout.decode()
    path.write_text(json.dumps(content | {"signature": signature}))
    assert "brightness 1 is not what anna signed" in pull().error


def test_what_is_no_key_is_one_line(push: Script, keys: Path, tmp_path: Path, place: Path) -> None:
    """Before anything moves, with the command that makes one."""
    missing = tmp_path / "none"
    assert push("--sign", missing).error == f"--sign {missing}: no such file; make a key with: ssh-keygen -t ed25519 -f {missing}"
    (tmp_path / "text").write_text("no key")
    assert f"{tmp_path / 'text'}: cannot sign: " in push("--sign", tmp_path / "text").error
    assert list(place.glob("*")) == []
    assert keys.exists()


def test_no_file_of_signers_is_one_line(push: Script, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What must stand in it."""
    assert push().code == 0
    done = call_script(capsys, "pull_store", place, "--allowed-signers", tmp_path / "none", "--store", tmp_path / "theirs")
    assert "no such file; it has a line for each: name, type of key, public key" in done.error
    assert read_index(Store(tmp_path / "theirs")).models == {}


def test_without_openssh_there_is_one_line(push: Script, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install."""
    monkeypatch.setenv("PATH", "")
    assert push("--sign", keys / "anna").error == (
        "ssh-keygen was not found: signatures need OpenSSH 8.2 or later; install it (Debian: apt install openssh-client)"
    )
