"""The spec digits_mc, and what it takes to serve a LightningModule's own method."""

from __future__ import annotations

import json
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_module import LightningModuleClassifier
from models import NETWORK, write_model
from ruamel.yaml import YAML
from scripts_of_ours import Ended, call_script, run_script
from sklearn.metrics import roc_auc_score
from workers import Worker

from marina import paths
from marina.store.sources import load_module
from marina.store.spec import find_spec

SOURCE = {"network": "network.py"}
LIGHTNING = """
import torch
from lightning import LightningModule
from torch import nn


class Dropped(LightningModule):
    def __init__(self, mc_iteration=20):
        super().__init__()
        self.model = nn.Sequential(nn.Flatten(), nn.Linear(16, 32), nn.ReLU())
        self.dropout = nn.Dropout()
        self.scores = nn.Linear(32, 2)
        self.mc_iteration = mc_iteration

    def forward(self, images):
        return self.scores(self.dropout(self.model(images)))

    def predict_step(self, batch, batch_idx=0):
        self.dropout.train()
        passes = torch.stack([self(batch).softmax(1) for _ in range(self.mc_iteration)])
        return passes.mean(dim=0), passes.std(dim=0)
"""


def write_lightning(folder: Path, versions: dict[str, dict[str, Any]], network: str = LIGHTNING) -> Path:
    """A model whose network is the documents' LightningModule, in versions of these settings."""
    settings = {name: {"source": SOURCE, "method": "predict_step", **version} for name, version in versions.items()}
    sample = {"request": "light.png"}
    return write_model(folder, {"network.py": network}, handler="lightning_module", versions=settings, sample=sample)


def built(capture: pytest.CaptureFixture[str], model: Path, folder: Path, *arguments: str | Path) -> Ended:
    return call_script(capture, "build_mar", model, "--store", folder / "store", "--json", *arguments)


def test_the_spread_of_digits_mc_tells_what_it_never_saw(tmp_path: Path) -> None:
    """Trained on 0 to 7: of 8 and 9 the spread is larger (AUROC above 0.8), and of ten known digits nine are named rightly."""
    done = run_script("build_mar", "digits_mc", "--store", tmp_path / "store", "--json")
    assert done.code == 0, done.err
    entries = json.loads(done.out)
    assert [(one["version"], one["runtime"]) for one in entries] == [("1", "torchscript"), ("2", "export")]
    for one in entries:
        assert one["accuracy"]["metric"] == "AUROC of spread"
        assert one["accuracy"]["value"] > 0.8
        assert one["accuracy"]["requests"] == 289 + 354
        assert one["parity"]["largest_difference"] <= one["parity"]["tolerance"] == 1e-4
    assert "GPU available" not in done.err
    answers = _ask_held_out(tmp_path / "store" / "archives" / entries[0]["archive"], tmp_path / "archive")
    known = [(digit, answer) for digit, answer in answers if digit < "8"]
    assert sum(answer["label"] == digit for digit, answer in known) / len(known) > 0.95
    unknown = [digit >= "8" for digit, _ in answers]
    assert roc_auc_score(unknown, [answer["uncertainty"] for _, answer in answers]) > 0.9
    flagged = [(is_unknown, answer["unsure"]) for is_unknown, (_, answer) in zip(unknown, answers, strict=True)]
    assert sum(unsure for one, unsure in flagged if one) / sum(unknown) > 0.8
    assert sum(unsure for one, unsure in flagged if not one) / len(known) < 0.2


def _ask_held_out(archive: Path, folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """Each held-out digit with the first class that the archive answers."""
    zipfile.ZipFile(archive).extractall(folder)
    config = YAML(typ="safe", pure=True).load((folder / "model-config.yaml").read_text())
    threads = torch.get_num_threads()
    worker = Worker(LightningModuleClassifier(), folder, config)
    pairs = list(load_module(find_spec("digits_mc").beside("training.py")).held_out())
    answers = worker.ask(*({"body": request} for request, _ in pairs))
    torch.set_num_threads(threads)
    return [(digit, answer.body[0]) for (_, digit), answer in zip(pairs, answers, strict=True)]


def test_the_lightning_module_of_the_docs_is_the_one_that_is_tested() -> None:
    """What stands in docs/tasks.md is what the tests here build."""
    assert textwrap.indent(LIGHTNING.strip(), "    ") in (paths.ROOT / "docs" / "tasks.md").read_text()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_random_passes_are_the_same_by_every_runtime_that_has_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After the same seed, masks included; what a worker calls is the method."""
    runtimes = ("eager", "torchscript", "export", "aotinductor")
    model = write_lightning(tmp_path / "model", {name: {"runtime": name} for name in runtimes})
    done = built(capsys, model, tmp_path, "--random-weights")
    assert done.code == 0, done.err
    for entry in json.loads(done.out):
        assert entry["parity"]["largest_difference"] <= 1e-6, entry["runtime"]


@pytest.mark.parametrize(
    ("version", "code", "message"),
    [
        (
            {"runtime": "onnx"},
            2,
            "runtime onnx: predict_step draws random numbers, and this runtime silently leaves dropout out; "
            "use one of eager, torchscript, export, aotinductor",
        ),
        ({"runtime": "openvino"}, 2, "runtime openvino: predict_step draws random numbers"),
        (
            {"runtime": "eager", "compile": True},
            2,
            "compile: predict_step draws random numbers, and torch.compile draws others; leave compile out",
        ),
        ({"runtime": "torchscript", "script": True}, 1, "predict_step is not scripted: write @torch.jit.export above it"),
        (
            {"runtime": "eager", "method": "predict_stpe"},
            2,
            "brightness: the network has no method 'predict_stpe': did you mean 'predict_step'?",
        ),
        ({"runtime": "eager", "method": "predict step"}, 2, "'versions.1.method': String should match pattern"),
    ],
    ids=["onnx", "openvino", "compile", "not scripted", "no such method", "no name"],
)
def test_what_a_runtime_cannot_do_with_a_method_is_one_line(
    version: dict[str, Any], code: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """ONNX Runtime and OpenVINO would answer with a spread of 0: refused before anything ships."""
    done = built(capsys, write_lightning(tmp_path / "model", {"1": version}), tmp_path, "--random-weights")
    assert done.code == code
    assert message in done.error


def test_a_method_that_needs_more_than_the_input_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lightning's own examples take batch_idx; a server has none to give."""
    network = LIGHTNING.replace("batch_idx=0", "batch_idx")
    done = built(capsys, write_lightning(tmp_path / "model", {"1": {"runtime": "eager"}}, network), tmp_path)
    assert done.error == (
        "brightness: predict_step is given the spec's inputs, 1 in number, and nothing else "
        "(missing a required argument: 'batch_idx'): give other arguments a default, as in batch_idx=0"
    )


def test_a_package_that_is_not_installed_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As Lightning, where only what serves is installed."""
    done = built(capsys, write_model(tmp_path / "model", {"network.py": "import no_such_module"}), tmp_path)
    assert done.error.endswith("; install the package that has it, for example by: pip install no_such_module")


def test_a_method_that_draws_nothing_is_served_by_any_runtime(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another method than forward alone is no reason to refuse one."""
    network = NETWORK.replace("def forward", "def scored")
    settings = {"source": SOURCE, "method": "scored"}
    versions = {
        "1": settings | {"runtime": "onnx"},
        "2": settings | {"runtime": "openvino"},
        "3": settings | {"runtime": "export"},
    }
    done = built(capsys, write_model(tmp_path / "model", {"network.py": network}, versions=versions), tmp_path)
    assert done.code == 0, done.err
    assert [one["runtime"] for one in json.loads(done.out)] == ["onnx", "openvino", "export"]


@pytest.mark.filterwarnings("ignore::Warning:lightning")  # of the machine, and of torch's future
def test_weights_may_be_a_trainers_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside the state dict it holds the Trainer's own state, which is left where it is."""
    from lightning import Trainer

    namespace: dict[str, Any] = {}
    exec(LIGHTNING, namespace)  # noqa: S102 - our own document
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
    trainer.strategy.connect(namespace["Dropped"]())
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    model = write_lightning(tmp_path / "model", {"1": {"runtime": "eager"}})
    done = built(capsys, model, tmp_path, "--weights", tmp_path / "last.ckpt")
    assert done.code == 0, done.err
    assert json.loads(done.out)[0]["weights"]["name"] == "last.ckpt"
