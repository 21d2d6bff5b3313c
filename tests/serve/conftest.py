"""One store and one server, shared by the tests that leave them as they found them."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from models import write_model
from scripts_of_ours import run_script
from servers import READY, SAMPLE, Serving, serving

from marina.config.self_signed import write_pair
from marina.paths import Store
from marina.serving.free_ports import free_ports


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Both versions of digits, trained and built here."""
    store = Store(tmp_path_factory.mktemp("store"))
    done = run_script("build_mar", "--deployed", "--store", store.folder)
    assert done.code == 0, done.err
    return store


@pytest.fixture(scope="session")
def server(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Both versions of digits, served as ``make serve`` does; 2.0 waits long enough for batches to form."""
    folder = tmp_path_factory.mktemp("server")
    deployment = folder / "deployment.yaml"
    deployment.write_text(
        'models: {digits: {default: "1.0", versions: {"1.0": {}, "2.0": {batch_size: 8, max_batch_delay_ms: 400}}, '
        'split: {weights: {"1.0": 50, "2.0": 50}}}}'
    )
    with serving(free_ports(), store, folder, "--deployment", deployment) as started:
        started.wait_for_output(READY)
        yield started


@pytest.fixture(scope="session")
def own(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server to register at, with digits 1.0 and 2.0, and a store of its own with one more model; its gateway wants a key."""
    folder = tmp_path_factory.mktemp("registering")
    write_pair(folder / "certificate.pem", folder / "key.pem", [], 60)
    (folder / "keys").touch(mode=0o600)
    (folder / "keys").write_text(f"shop: {secrets.token_urlsafe(24)}\n")
    tls = f"tls: {{certificate: {folder / 'certificate.pem'}, key: {folder / 'key.pem'}}}"
    (folder / "gateway.yaml").write_text(f"keys: {folder / 'keys'}\n{tls}\n")
    own_store = Store(folder / "store")
    shutil.copytree(store.folder, own_store.folder)
    assert run_script("build_mar", write_model(folder / "brightness"), "--store", own_store.folder).code == 0
    with serving(free_ports(), own_store, folder / "server", "--gateway", folder / "gateway.yaml") as started:
        started.wait_for_output(READY)
        yield started


@pytest.fixture(scope="session")
def seven() -> bytes:
    """A picture of a seven."""
    return SAMPLE.read_bytes()


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    """A folder for a server of the test's own."""
    return tmp_path / "server"
