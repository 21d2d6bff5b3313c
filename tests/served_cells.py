"""A network of the table of docs/tasks.md, built for and served by every runtime that holds it."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import requests
from bad_rows import FAILING, LIMITS
from metrics_api import of_version, settled
from ruamel.yaml import YAML
from scripts_of_ours import run_script
from servers import READY, Serving, serving
from task_table import Network

from marina import paths
from marina.paths import Store
from marina.serving.free_ports import free_ports
from marina.store.index import Entry, read_index

BATCH = 8
DELAY_MS = 1500  # a batch of eight goes at once; a lone request waits that long for seven others
COMPARED = 3 * BATCH
BUILD_SECONDS = 1500
START_SECONDS = 900
Asked = tuple[bytes, Mapping[str, str]]  # content and headers


@dataclass
class Served:
    """A network, served by every runtime that holds it, each as a version of its name.

    Attributes:
        network: the line of the table.
        entries: what was built, by runtime.
        server: that has them all.
        sent: how many batches each runtime was sent.
    """

    network: Network
    entries: dict[str, Entry]
    server: Serving
    sent: Counter[str] = field(default_factory=Counter)
    _answers: dict[str, list[Any]] = field(default_factory=dict)

    @cached_property
    def asked(self) -> list[bytes]:
        """The sample, and others that differ."""
        return self.network.requests(COMPARED)

    def alone(self, runtime: str, content: bytes, path: str = "predictions", **headers: str) -> requests.Response:
        """The answer to a request that nothing shares a batch with."""
        self.sent[runtime] += 1
        return self.server.ask(f"/{path}/{self.network.model}/{runtime}", content, **headers)

    def batch(self, runtime: str, rows: list[Asked]) -> list[requests.Response]:
        """Answers to requests that are sent at once, as many as a batch has."""
        assert len(rows) == BATCH
        self.sent[runtime] += 1
        path = f"/predictions/{self.network.model}/{runtime}"
        with ThreadPoolExecutor(BATCH) as callers:
            return list(callers.map(lambda row: self.server.ask(path, row[0], **row[1]), rows))

    def answers(self, runtime: str) -> list[Any]:
        """What a runtime answers to ``asked``, in full batches."""
        if runtime not in self._answers:
            parts = [self.asked[start : start + BATCH] for start in range(0, COMPARED, BATCH)]
            replies = [reply for part in parts for reply in self.batch(runtime, [(one, {}) for one in part])]
            assert [reply.status_code for reply in replies] == [200] * COMPARED, [reply.text[:300] for reply in replies]
            self._answers[runtime] = [reply.json() for reply in replies]
        return self._answers[runtime]

    def batches(self, runtime: str) -> float:
        """How many batches a runtime's worker has answered so far."""
        return settled(partial(of_version, self.server, "marina_batch_rows_count", runtime))


@contextmanager
def serve_network(network: Network, weights: Store, folder: Path) -> Iterator[Served]:
    """A network, built in a folder and served; weights that are trained for it are left in ``weights`` for the next."""
    spec = failing_spec(network, folder / network.model)
    entries = built(network, spec, weights, Store(folder / "store"))
    settings = {"batch_size": BATCH, "max_batch_delay_ms": DELAY_MS}
    models = {network.model: {"spec": str(spec), "default": network.held_by[0], "versions": dict.fromkeys(entries, settings)}}
    with (folder / "deployment.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump({"models": models}, file)
    with serving(free_ports(), Store(folder / "store"), folder / "server", "--deployment", folder / "deployment.yaml") as server:
        server.wait_for_output(READY, START_SECONDS)
        yield Served(network, entries, server)


def failing_spec(network: Network, folder: Path) -> Path:
    """The network's spec for all runtimes that hold it, with its own handler made to fail where a request asks for it."""
    handler = paths.HANDLERS / f"{network.handler}.py"
    files = [*network.spec.files, handler.name]
    network.copy_spec(folder, network.held_by, handler="failing.py", files=files, limits=LIMITS)
    shutil.copy(handler, folder)
    (name,) = re.findall(r"^class (\w+)\(", handler.read_text(), re.MULTILINE)
    (folder / "failing.py").write_text(FAILING.format(module=handler.stem, name=name))
    return folder


def built(network: Network, spec: Path, weights: Store, store: Store) -> dict[str, Entry]:
    """The entries of all runtimes that hold a network; its weights are kept for the next one of the same spec."""
    weights.weights.mkdir(parents=True, exist_ok=True)
    shutil.copytree(weights.weights, store.weights)
    random = ["--random-weights"] if network.random else []
    done = run_script("build_mar", spec, "--store", store.folder, *random, seconds=BUILD_SECONDS)
    assert done.code == 0, done.err
    shutil.copytree(store.weights, weights.weights, dirs_exist_ok=True)
    return read_index(store).models[network.model]
