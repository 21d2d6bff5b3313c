"""Every source by every runtime that docs/sources.md says yes of, on one network that was trained on scikit-learn's digits.

SLOW=1, as make slow has it, builds every cell of the table; without it, each source by one runtime or more.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from documents import blocks
from handlerkit.testing import Worker, check_rows
from ruamel.yaml import YAML
from scripts_of_ours import call_script, run_script
from sources import HELD_OUT, LIGHTNING, SOURCES, digits, save_checkpoint, trained, write_digits, write_files
from torch import nn

from marina import paths
from marina.paths import Store
from marina.store.index import read_index
from marina.store.source_runtimes import RUNTIMES, runtimes_of
from marina.store.sources import WeightsChoice, load_network
from marina.store.spec import KINDS, Source, find_spec

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(3600)]  # of exporters, and of Lightning
DOCUMENT = paths.ROOT / "docs" / "sources.md"
EVERY = {f"{number}-{runtime}": (name, runtime) for number, name in enumerate(SOURCES) for runtime in RUNTIMES}
EVERY = {key: (name, one) for key, (name, one) in EVERY.items() if one in runtimes_of(Source.model_validate(SOURCES[name]).kind)}
SHORT = ("0-eager", "3-eager", "4-onnx", "5-torchscript", "6-onnx", "7-export", "7-torchscript")
ALL = os.environ.get("SLOW") == "1"
CELLS = {key: cell for key, cell in EVERY.items() if ALL or key in SHORT}


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return trained()


@pytest.fixture(scope="module")
def built(network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The store in which every cell was built, each from its own file of the one network."""
    folder = tmp_path_factory.mktemp("sources")
    versions = {key: {"source": SOURCES[name], "runtime": runtime} for key, (name, runtime) in CELLS.items()}
    model = write_digits(folder / "model", versions)
    write_files(model, network)
    done = run_script("build_mar", model, "--store", folder / "store", seconds=3000)
    assert done.code == 0, done.err
    return Store(folder / "store")


@pytest.mark.parametrize("cell", CELLS, ids=[f"{name} by {runtime}" for name, runtime in CELLS.values()])
def test_a_source_is_served_as_it_was_trained(cell: str, built: Store, network: nn.Module) -> None:
    """Within 1e-4 of the source's own network, as accurate as it was when it was trained, and each row alone."""
    entry = read_index(built).models["reader"][cell]
    assert entry.parity is not None
    assert entry.parity.largest_difference <= 1e-4
    assert entry.weights.source == "file"
    images, labels = digits()
    right = network(images[:HELD_OUT]).argmax(1) == labels[:HELD_OUT]
    assert entry.accuracy is not None
    assert entry.accuracy.value == round(float(right.float().mean()), 4) > 0.8
    with Worker.load(built.archives / entry.archive) as worker:
        sample = (built.folder.parent / "model" / "digit.png").read_bytes()
        check_rows(worker, good=sample, bad=[b"no image"], without=["explain"])


def test_the_table_of_the_docs_is_what_is_built() -> None:
    """A row for each kind of source, and yes of exactly those runtimes that the tests build and the spec allows."""
    text = DOCUMENT.read_text()
    head = re.search(r"^\| source \|(.*)\|$", text, re.MULTILINE)
    assert head is not None
    assert [name.strip() for name in head[1].split("|")] == list(RUNTIMES)
    rows = {row[0]: row[1].split(" | ") for row in re.findall(r"^\| `(\w+)`[^|]*\| ((?:yes|no)[^|]*.*) \|$", text, re.MULTILINE)}
    assert set(rows) == set(KINDS)
    for kind, cells in rows.items():
        assert tuple(name for name, cell in zip(RUNTIMES, cells, strict=True) if cell == "yes") == runtimes_of(kind)
    of_digits = {(Source.model_validate(SOURCES[name]).kind, runtime) for name, runtime in EVERY.values()}
    assert of_digits == {(kind, runtime) for kind in KINDS if kind != "torchvision" for runtime in runtimes_of(kind)}


def test_every_example_of_the_docs_is_a_source(network: nn.Module, tmp_path: Path) -> None:
    """Typed in as it stands, it gives a network, from files of those names."""
    sources = [YAML(typ="safe", pure=True).load(block)["source"] for block in blocks(DOCUMENT, "yaml")]
    assert {Source.model_validate(source).kind for source in sources} == set(KINDS)
    for number, source in enumerate(sources):
        kind = Source.model_validate(source).kind
        version = {"source": source, "runtime": runtimes_of(kind)[-1]}
        shape = [3, 32, 32] if kind == "torchvision" else [1, 8, 8]
        model = write_digits(tmp_path / str(number), {"1": version}, input=shape)
        _write_files_of_the_docs(model, network, source)
        loaded = load_network(find_spec(str(model)), "1", Store(tmp_path), WeightsChoice(), lambda *_: None)
        assert loaded.served(torch.rand(2, *shape)).shape == (2, 10)


def _write_files_of_the_docs(model: Path, network: nn.Module, source: dict[str, Any]) -> None:
    if "torchvision" in source:
        from torchvision.models import get_model

        torch.save(get_model(source["torchvision"], **source["arguments"]).state_dict(), model / source["weights"])
    elif source.get("checkpoint") == "objects.ckpt":
        import argparse

        code = LIGHTNING.replace("learning_rate=0.1", "options=None")
        (model / "trained.py").write_text(code)
        save_checkpoint(model / "objects.ckpt", network, code, options=argparse.Namespace(depth=2))
    else:
        write_files(model, network)


def test_attributes_of_a_torchscript_file_are_still_there(built: Store, tmp_path: Path) -> None:
    """In the archive, loaded as another process loads it: nothing was traced or frozen anew."""
    with zipfile.ZipFile(built.archives / "reader-5-torchscript.mar") as archive:
        archive.extract("model.pt", tmp_path)
    assert torch.jit.load(tmp_path / "model.pt").class_names == list("0123456789")


def test_a_sample_is_made_of_a_networks_example(network: nn.Module, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """tensor_model is asked example_input_array's first row; the index says what the sample is."""
    source = SOURCES["checkpoint of Lightning"]
    options = {"inputs": {"images": {"shape": [1, 8, 8]}}}
    versions = {"1": {"source": source, "runtime": "eager"}}
    model = write_digits(tmp_path / "model", versions, sample=None, handler="tensor_model", options=options, training=None)
    write_files(model, network)
    done = call_script(capsys, "build_mar", model, "--store", tmp_path / "store", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)[0]["sample"] == {"request": "example_input_array.json", "label": None}
    with Worker.load(tmp_path / "store" / "archives" / "reader-1.mar") as worker:
        (answer,) = worker.ask({"body": {"data": [[[1.0] * 8] * 8]}})
    best = int(network(torch.ones(1, 1, 8, 8)).argmax())
    assert answer.body[0]["label"] == str(best)


@pytest.mark.parametrize("runtime", RUNTIMES if ALL else ["eager"])
def test_a_network_of_torchvision_by_every_runtime(runtime: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a head of ten classes and the weights of a file."""
    from torchvision.models import get_model

    source = {"torchvision": "shufflenet_v2_x0_5", "weights": "ten.pth", "arguments": {"num_classes": 10}}
    settings = {"input": [3, 32, 32], "options": {"size": [32, 32]}, "sample": {"request": "digit.png"}, "training": None}
    model = write_digits(tmp_path / "model", {"1": {"source": source, "runtime": runtime}}, **settings)
    torch.save(get_model("shufflenet_v2_x0_5", num_classes=10).state_dict(), model / "ten.pth")
    done = call_script(capsys, "build_mar", model, "--store", tmp_path / "store", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)[0]["parity"]["largest_difference"] <= 1e-4
