"""Every reader of a file that people, builds or others write, with contents that it reads: to be changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from marina import paths
from marina.comparing.hashed_keys import HashedKeys
from marina.comparing.outcome_files import OutcomeFile
from marina.comparing.outcome_reading import OutcomeReader
from marina.comparing.rollout import Rollout
from marina.config.check import check_file
from marina.config.place import Place, this_place
from marina.gateway.gateway import Gateway
from marina.gateway.keys import read_keys
from marina.gateway.settings import read_gateway_settings
from marina.kubernetes.settings import read_kubernetes_settings
from marina.paths import State, Store
from marina.reading import read_yaml
from marina.remembering import recall
from marina.serving.deployment import read_deployment
from marina.serving.payloads import read_file
from marina.serving.ports import Ports
from marina.sharing.documents import read_document, share
from marina.store.index import Index, read_index
from marina.store.labels import read_labels
from marina.store.manifest import read_manifest
from marina.store.spec import Spec, SpecFile, find_spec
from marina.watching.prometheus import local_config

KEYS_OF_HASHES = HashedKeys(b"salt")
LAUGHS = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{before}'] * 10)}]\n" for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)
YAML_NOBODY_WRITES = (
    b"2026-13-45",
    b"a: 2026-02-30T25:61:00Z",
    b"a: 0x" + b"f" * 5000,
    b"a: " + b"9" * 5000,
    b"&a [*a]",
    b"a: &a {b: *a}",
    b"[" * 3000,
    b"{a: " * 3000,
    b"? [a]\n: b",
    b"? {a: b}\n: c",
    b"!!python/object:os.system {}",
    b"!!binary =",
    b"!!set {a, b}",
    b"!!omap [a]",
    b"!!int x",
    b"!!float x",
    b"!!timestamp x",
    b"%YAML 9.9\n---\na",
    b"--- a\n--- b",
    b"a: b: c",
    b"\t",
    b"a: \xff",
    b"<<: 1",
    b"<<: [1, *a]",
    b'"\\ud800": 1',
    b'"\\e[2J": 1',
    b'"a\\nb": 1',
    LAUGHS.encode(),
    b"models: " + LAUGHS.encode().replace(b"\n", b"\n  ").replace(b"a:", b"\n  a:", 1),
)


@dataclass(frozen=True)
class Reader:
    """A reader of files.

    Attributes:
        name: of the file that it reads.
        read: what it reads in, and the findings of one that has such.
        good: contents that are read.
        is_yaml: whether what YAML can do beyond JSON is tried.
    """

    name: str
    read: Callable[[Path], object]
    good: Sequence[bytes]
    is_yaml: bool = False

    @property
    def documents(self) -> list[Any]:
        """The good contents as values, where they are JSON or YAML."""
        if self.is_yaml:
            return [YAML(typ="safe", pure=True).load(one.decode()) for one in self.good]
        return [json.loads(one) for one in self.good] if self.name.endswith(".json") else []


def _checked(path: Path) -> list[str]:
    return [str(one) for one in check_file(path, Place(path.parent, cores=2))]


def _outcomes(path: Path) -> list[str]:
    reader = OutcomeReader(KEYS_OF_HASHES, 1.8e9, 1e9)
    list(reader.rows(OutcomeFile(path, experiment="digits").rows()))
    return [one.reason for one in reader.refusals]


def _applied(path: Path) -> object:
    state = State(path.parent)
    state.gateway.mkdir(exist_ok=True)
    path.replace(state.gateway / "applied.json")
    return Gateway(state).deployment()


def _labels(path: Path) -> object:
    found = find_spec("digits")
    return tuple(read_labels(SpecFile(spec=found.spec.model_copy(update={"labels": path.name}), folder=path.parent)) or ())


def _keys(path: Path) -> object:
    path.chmod(0o600)
    return tuple(read_keys(path, {}))


def _compose(path: Path) -> object:
    return this_place(path.parent, look_at_ports=False).published


def _rich_deployment() -> bytes:
    model = {
        "default": "1.0",
        "versions": {"1.0": {"workers": 1}, "2.0": None},
        "split": {"weights": {"1.0": 50.0, "2.0": 50.0}, "experiment": "a", "sticky": {"header": "X-User-Id"}},
        "shadow": {"version": "2.0", "percent": 10.0},
        "payloads": {"percent": 1.0},
        "objectives": {"p99_ms": 50},
        "limits": {"in_flight": 3},
    }
    return json.dumps({"models": {"digits": model, "other": model}}).encode()


def _applied_file() -> bytes:
    place = {"callers": {"host": "127.0.0.1", "port": 1}, "has_replicas": False}
    told = {"place": place, "deployment": json.loads(_rich_deployment()), "settings": {}, "asks_for_keys": False, "versions": {}}
    return json.dumps(told).encode()


OUTCOMES = [
    {"metric": "correct", "value": True, "request_id": "a", "time": "2026-11-21T09:30:00Z"},
    {"metric": "seconds_to_click", "value": 1.5, "experiment": "digits", "key": "ada", "time": 1.79e9, "id": "x"},
]
INDEX = (paths.ROOT / "tests" / "kubernetes" / "index.json").read_bytes()
SHARED = share("digits", "1.0", Index.model_validate_json(INDEX).models["digits"]["1.0"]).document
CSV = b"metric,value,request_id,time\ncorrect,true,a,2026-11-21T09:30:00Z\nclicks,2,b,1790000000\n"
READERS = [
    Reader("deployment.yaml", read_deployment, [paths.DEPLOYMENT.read_bytes(), _rich_deployment()], is_yaml=True),
    Reader(
        "model.yaml",
        lambda path: read_yaml(path, Spec),
        [path.read_bytes() for path in sorted(paths.SPECS.glob("*/model.yaml"))],
        is_yaml=True,
    ),
    Reader("gateway.yaml", read_gateway_settings, [paths.GATEWAY_CONFIG.read_bytes()], is_yaml=True),
    Reader(
        "kubernetes.yaml",
        read_kubernetes_settings,
        [(paths.CONFIG / "kubernetes" / "kubernetes.yaml").read_bytes()],
        is_yaml=True,
    ),
    Reader("metrics.yaml", _checked, [paths.METRICS_CONFIG.read_bytes()], is_yaml=True),
    Reader(
        "model-config.yaml",
        _checked,
        [b"minWorkers: 1\nmaxWorkers: 2\nbatchSize: 8\ndeviceIds: [0]\nhandlerkit: {runtime: onnx, sample: {request: a}}\n"],
        is_yaml=True,
    ),
    Reader(
        "prometheus.yml",
        lambda path: local_config(path, Ports(), 9090),
        [(paths.CONFIG / "prometheus" / "prometheus.yml").read_bytes()],
        is_yaml=True,
    ),
    Reader("docker-compose.yml", _compose, [(paths.ROOT / "docker-compose.yml").read_bytes()], is_yaml=True),
    Reader("config.properties", _checked, [paths.SERVER_CONFIG.read_bytes(), paths.PRODUCTION_CONFIG.read_bytes()]),
    Reader("log4j2.xml", _checked, [(paths.CONFIG / "log4j2.xml").read_bytes()]),
    Reader("keys", _keys, [b"shop: GoodLetters-And_Digits42\n# a line\nold: 0123456789abcdef0123456789abcdef\n"]),
    Reader("applied.json", _applied, [_applied_file()]),
    Reader("index.json", lambda path: read_index(Store(path.parent)), [INDEX]),
    Reader("labels.json", _labels, [b'["a", "b"]', b'{"0": "a", "1": "b"}', b'{"0": ["n1", "a"], "1": ["n2", "b"]}']),
    Reader("rollout.json", lambda path: recall(path, Rollout), [b'{"model": "digits", "candidate": "2.0"}']),
    Reader("shared.json", lambda path: read_document(path.read_bytes(), "digits", "1.0"), [SHARED]),
    Reader(
        "MANIFEST.json",
        lambda path: read_manifest(path.read_bytes(), ["mine.py", "model.pt"]),
        [
            b'{"runtime": "python", "model": {"modelName": "a", "modelVersion": "1", "handler": "mine.py", '
            b'"serializedFile": "model.pt"}}'
        ],
    ),
    Reader("a.payload", read_file, [b'{"request_id": "a", "time": 1.0, "headers": {"accept": "x"}}\nbody']),
    Reader("outcomes.csv", _outcomes, [CSV]),
    Reader("outcomes.jsonl", _outcomes, ["\n".join(map(json.dumps, OUTCOMES)).encode()]),
]
