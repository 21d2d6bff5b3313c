"""Callers' keys and the gateway's settings: mistakes are said in a line, without a key in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from marina import paths
from marina.config.settings import read_settings
from marina.errors import UsageError
from marina.gateway.keys import Key, keys_file, read_keys
from marina.gateway.serving import require_behind
from marina.gateway.settings import GatewaySettings, Tls, read_gateway_settings
from marina.gateway.tls import secret

OPEN = "disable_token_authorization=true\n"
GOOD, OTHER = "0123456789abcdef0123456789abcdef", "GoodLetters-And_Digits42"


def written(folder: Path, text: str, mode: int = 0o600) -> Path:
    """A file of keys."""
    file = folder / "keys"
    file.write_text(text)
    file.chmod(mode)
    return file


def test_keys_have_names_and_a_name_may_have_two(tmp_path: Path) -> None:
    """Old and new are both good for a while; comments and empty lines are none."""
    file = written(tmp_path, f"# the shop\nshop: {GOOD}\n\nshop: {OTHER}\n")
    assert read_keys(file, {}) == [Key("shop", GOOD), Key("shop", OTHER)]
    assert GOOD not in repr(read_keys(file, {}))


def test_the_environment_goes_before_the_settings(tmp_path: Path) -> None:
    """GATEWAY_KEYS_FILE, then GATEWAY_KEYS, then the file of gateway.yaml; without any of them anyone may ask."""
    assert keys_file("a", {"GATEWAY_KEYS_FILE": "b", "GATEWAY_KEYS": "c"}, tmp_path) == tmp_path / "b"
    assert keys_file("a", {"GATEWAY_KEYS": "c"}, tmp_path) is None
    assert keys_file("a", {}, tmp_path) == tmp_path / "a"
    assert read_keys(None, {"GATEWAY_KEYS": f"shop: {GOOD},bank: {OTHER}"}) == [Key("shop", GOOD), Key("bank", OTHER)]
    assert read_keys(None, {}) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at least one key is required, as a line 'name: key'; found none"),
        (f"{GOOD}\n", "line 1: a line is 'name: key', the name of letters, digits, '.', '_' and '-'"),
        (f"a b: {GOOD}\n", "line 1: a line is 'name: key'"),
        ("# x\nshop: secret\n", "line 2: the key of shop must have 128 random bits, 32 hexadecimal characters or 22 letters and"),
        ("shop: 0123456789abcdef0123456789abcde\n", "found 31 characters, 16 of them different: scripts/make_key.py makes one"),
        (f"shop: {'a' * 40}\n", "found 40 characters, 1 of them different"),
        (f"shop: {OTHER} x\n", "the key of shop must have 128 random bits"),
        (f"shop: {GOOD}\nbank: {GOOD}\n", "shop and bank have the same key: give each its own"),
    ],
)
def test_a_wrong_line_is_said_without_its_key(tmp_path: Path, text: str, message: str) -> None:
    """By its number; what was found is counted, not shown."""
    with pytest.raises(UsageError) as found:
        read_keys(written(tmp_path, text), {})
    assert message in str(found.value)
    assert GOOD not in str(found.value)
    assert OTHER not in str(found.value)


def test_a_file_of_keys_is_its_owners_alone(tmp_path: Path) -> None:
    """One that others may read is refused, one that is not there is said."""
    with pytest.raises(UsageError, match="the gateway's keys must be their owner's alone: chmod 600"):
        read_keys(written(tmp_path, f"shop: {GOOD}\n", 0o644), {})
    with pytest.raises(UsageError, match="the gateway's keys cannot be read: No such file or directory"):
        read_keys(tmp_path / "none", {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("adress: 127.0.0.1", "unknown key 'adress': did you mean 'address'?"),
        ("body_limit_bytes: 0", "'body_limit_bytes': Input should be greater than 0"),
        ("time_limit_seconds: -1", "'time_limit_seconds': Input should be greater than 0"),
        ("requests_per_second: many", "'requests_per_second': Input should be a valid integer"),
        ("tls: {certificate: a.pem}", "'tls.key' is required"),
        ("address: no host", "'address': an IP address is required, such as 127.0.0.1 or 0.0.0.0; found 'no host'"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, message: str) -> None:
    """As in every file that people write."""
    file = tmp_path / "gateway.yaml"
    file.write_text(text)
    with pytest.raises(UsageError) as found:
        read_gateway_settings(file)
    assert message in str(found.value)


def test_the_settings_that_are_shipped_are_the_defaults() -> None:
    """What the file says is what it is without a file."""
    assert read_gateway_settings(paths.GATEWAY_CONFIG) == GatewaySettings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "set disable_token_authorization=true and give callers keys at the gateway, or serve without one by --no-gateway"),
        (f"{OPEN}inference_address=https://127.0.0.1:8080\n", "the gateway asks TorchServe by http; found https: give callers"),
        (f"{OPEN}max_request_size=1000\n", "body_limit_bytes of the gateway must be below max_request_size of"),
    ],
)  # fmt: skip
def test_a_torchserve_that_cannot_stand_behind_a_gateway_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """With what to do about it."""
    file = tmp_path / "config.properties"
    file.write_text(text)
    with pytest.raises(UsageError) as found:
        require_behind(read_settings(file), GatewaySettings())
    assert message in str(found.value)


def test_a_certificate_that_is_not_there_is_said(tmp_path: Path) -> None:
    """Before anything starts; and two folders are one too many to watch."""
    with pytest.raises(UsageError, match=r"a\.pem is not there: scripts/make_certificate\.py makes one"):
        secret(Tls(certificate="a.pem", key="b/key.pem"), tmp_path)
    (tmp_path / "b").mkdir()
    for name in ("a.pem", "b/key.pem"):
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match="certificate and key must be in one folder"):
        secret(Tls(certificate="a.pem", key="b/key.pem"), tmp_path)
