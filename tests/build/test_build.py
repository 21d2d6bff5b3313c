"""A build ends in an archive one can trust, or in one line that says why not; never in between."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from handlerkit.testing import Worker, check_rows
from models import NETWORK, SPEC, TRAINING, write_model
from pictures import plain
from scripts_of_ours import Ended, call_script

from marina import paths
from marina.paths import Store
from marina.store.archive import write_archive
from marina.store.build import Order, build, ensure, is_current, saying
from marina.store.exporters import Exported
from marina.store.index import find_entry, read_index, verified_archive
from marina.store.inputs import inputs_digest, kit_digest
from marina.store.spec import find_spec

Build = Callable[..., Ended]
ONE_VERSION = {"versions": {"1": SPEC["versions"]["1"]}}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "brightness")


@pytest.fixture
def build_mar(store: Store, capsys: pytest.CaptureFixture[str]) -> Build:
    """Calls the script for a model and the test's store."""
    return lambda *arguments: call_script(capsys, "build_mar", *arguments, "--store", store.folder)


def test_both_versions_are_built_and_recorded(model: Path, store: Store, build_mar: Build) -> None:
    """The index says what was measured: digest, parity, and accuracy on held-out images, asked as a worker is."""
    done = build_mar(model, "--json")
    assert done.code == 0, done.err
    first, second = json.loads(done.out)
    assert (first["version"], first["runtime"], second["version"], second["runtime"]) == ("1", "torchscript", "2", "eager")
    assert first["accuracy"] == {"metric": "top1", "value": 0.5, "requests": 2}  # one of the two labels is wrong on purpose
    assert first["parity"]["largest_difference"] <= first["parity"]["tolerance"]
    assert first["parity"]["compared_rows"] == 1 + 2 + 8 + 1
    assert first["weights"]["source"] == "trained"
    for version in ("1", "2"):
        verified_archive(store, find_entry(store, "brightness", version))
    assert sorted(path.name for path in store.archives.iterdir()) == ["brightness-1.mar", "brightness-2.mar"]


def test_an_archive_holds_what_a_worker_needs_and_nothing_of_ours_beyond(model: Path, store: Store, build_mar: Build) -> None:
    """Handler, handlerkit, network, weights, sample and TorchServe's own configuration; no marina, no caches."""
    assert build_mar(model, "--version", "2").code == 0
    names = zipfile.ZipFile(store.archives / "brightness-2.mar").namelist()
    assert {"image_classifier.py", "handlerkit/model_handler.py", "network.py", "model.pt", "sample/light.png"} < set(names)
    assert {"model-config.yaml", "MAR-INF/MANIFEST.json"} < set(names)
    assert not [name for name in names if "pycache" in name or "marina" in name or name.startswith(("/", "handlerkit/testing"))]


def test_a_built_archive_is_tested_as_a_worker_holds_it(model: Path, store: Store, build_mar: Build) -> None:
    """handlerkit.testing loads a .mar with the handlerkit inside it, and finds nothing to say of our classifier."""
    assert build_mar(model, "--version", "1").code == 0
    with Worker.load(store.archives / "brightness-1.mar") as worker:
        unpacked = Path(worker.handler.handle.__globals__["__file__"])
        assert unpacked.parts[-2:] == ("handlerkit", "model_handler.py")
        assert unpacked != paths.HANDLERKIT / "model_handler.py"
        check_rows(worker, good=[plain("L", (9, 9), 255), plain("L", (9, 9), 0)], bad=[b"no image"], without=["explain"])


def test_what_is_for_tests_alone_rebuilds_nothing(model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A change of handlerkit.testing leaves every archive current; one beside it does not."""
    copied = tmp_path / "handlerkit"
    shutil.copytree(paths.HANDLERKIT, copied)
    monkeypatch.setattr(paths, "HANDLERKIT", copied)
    monkeypatch.setattr(paths, "HANDLERKIT_TESTING", copied / "testing")
    kit_digest.cache_clear()
    before = inputs_digest(find_spec(str(model)), "1")
    (copied / "testing" / "more.py").write_text("")
    kit_digest.cache_clear()
    assert inputs_digest(find_spec(str(model)), "1") == before
    (copied / "more.py").write_text("")
    kit_digest.cache_clear()
    assert inputs_digest(find_spec(str(model)), "1") != before
    kit_digest.cache_clear()


def test_the_same_files_give_the_same_archive(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Byte for byte, from another folder, in another time zone, with other file times."""
    exported = tmp_path / "exported"
    exported.mkdir()
    (exported / "model.pt").write_bytes(b"weights")
    write_archive(find_spec(str(model)), "1", Exported(exported, "model.pt"), ["a"], tmp_path / "first.mar")
    moved = tmp_path / "elsewhere" / "deep"
    shutil.copytree(exported, moved)
    os.utime(moved / "model.pt", (0, 1_000_000_000))
    shutil.copytree(model, tmp_path / "copy")
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    write_archive(find_spec(str(tmp_path / "copy")), "1", Exported(moved, "model.pt"), ["a"], tmp_path / "second.mar")
    assert (tmp_path / "first.mar").read_bytes() == (tmp_path / "second.mar").read_bytes()


def test_what_has_not_changed_is_not_built_again(model: Path, store: Store, build_mar: Build) -> None:
    """A second build is a look; a changed option, a deleted archive or --force is a build."""
    assert build_mar(model).code == 0
    before = (store.archives / "brightness-1.mar").stat().st_mtime_ns
    again = build_mar(model)
    assert again.err.count("nothing has changed since it was built") == 2
    assert (store.archives / "brightness-1.mar").stat().st_mtime_ns == before
    found = find_spec(str(model))
    assert is_current(found, "1", store)
    (store.archives / "brightness-1.mar").unlink()
    assert not is_current(found, "1", store)
    write_model(model, options={"size": [4, 4], "mode": "L", "top_k": 1})
    assert not is_current(find_spec(str(model)), "2", store)


def test_random_weights_are_recorded_as_such(model: Path, store: Store, build_mar: Build) -> None:
    """A model with random weights has no accuracy, and a changed one is never silently replaced by a trained one."""
    done = build_mar(model, "--random-weights", "--json", "--version", "1")
    assert done.code == 0, done.err
    entry = json.loads(done.out)[0]
    assert (entry["weights"]["source"], entry["accuracy"]) == ("random", None)
    write_model(model, description="changed")
    with pytest.raises(Exception, match=r"brightness 1 has changed since it was built: run .* --version 1 --random-weights"):
        ensure(find_spec(str(model)), "1", store)


def test_weights_of_a_file_are_used(model: Path, store: Store, tmp_path: Path, build_mar: Build) -> None:
    """--weights FILE takes a state dict in place of training."""
    torch.save({"scale": torch.tensor([2.0])}, tmp_path / "mine.pt")
    done = build_mar(model, "--version", "2", "--weights", tmp_path / "mine.pt", "--json")
    assert json.loads(done.out)[0]["weights"]["source"] == "file", done.err
    with zipfile.ZipFile(store.archives / "brightness-2.mar") as archive:
        archive.extract("model.pt", tmp_path)
    assert torch.load(tmp_path / "model.pt")["scale"].item() == 2.0


def test_weights_that_were_trained_elsewhere_are_recorded_as_such(model: Path, store: Store, build_mar: Build) -> None:
    """A training file says from where it takes them; where that changes, they are taken anew."""
    code = (model / "training.py").read_text()
    for weights in ("scales 1.0", "scales 1.1"):
        (model / "training.py").write_text(f"WEIGHTS = {weights!r}\n{code}")
        done = build_mar(model, "--version", "1", "--json")
        entry = json.loads(done.out)[0]["weights"]
        assert (entry["source"], entry["name"]) == ("pretrained", weights), done.err
    assert len(list(store.weights.iterdir())) == 2
    assert "nothing has changed since it was built" in build_mar(model, "--version", "1").err


def test_weights_that_do_not_fit_are_refused(model: Path, tmp_path: Path, build_mar: Build) -> None:
    """The first missing and the first unexpected key are named."""
    torch.save({"weight": torch.ones(1)}, tmp_path / "other.pt")
    done = build_mar(model, "--version", "1", "--weights", tmp_path / "other.pt")
    assert done.code == 2
    assert "does not fit the network: 1 keys missing (first: scale), 1 keys unexpected (first: weight)" in done.error


def test_weights_of_another_shape_are_refused(model: Path, tmp_path: Path, build_mar: Build) -> None:
    """Both shapes are said."""
    torch.save({"scale": torch.ones(3)}, tmp_path / "other.pt")
    done = build_mar(model, "--version", "1", "--weights", tmp_path / "other.pt")
    assert "scale has shape [3], required [1]" in done.error


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"torchvision": "resnet81"}, "torchvision has no network 'resnet81': did you mean '"),
        ({"torchvision": "resnet18"}, "resnet18: the spec names no weights: add 'weights' to it, or give --weights FILE"),
        ({"torchvision": "resnet18", "weights": "V3"}, "resnet18 has no weights 'V3'; it has: IMAGENET1K_V1"),
    ],
)
def test_a_network_that_torchvision_does_not_have_is_one_line(
    source: dict[str, str], message: str, tmp_path: Path, build_mar: Build
) -> None:
    """The name or the weights that do not exist, and those that do."""
    done = build_mar(write_model(tmp_path / "model", versions={"1": {"source": source, "runtime": "torchscript"}}))
    assert done.code == 2
    assert message in done.error


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x02."], ids=["empty", "text", "a pickle"])
def test_a_file_that_holds_no_weights_is_refused(model: Path, tmp_path: Path, content: bytes, build_mar: Build) -> None:
    """Nothing is unpickled that is not a tensor."""
    (tmp_path / "file.pt").write_bytes(content)
    done = build_mar(model, "--version", "1", "--weights", tmp_path / "file.pt")
    assert done.code == 2
    assert "required a state dict, by torch.save or as safetensors; this is" in done.error


def test_missing_weights_name_both_ways_out(store: Store, build_mar: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torchvision's weights cannot be fetched, --weights and --random-weights are named."""
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("TORCH_HOME", str(store.folder))
    done = build_mar("resnet18-imagenet")
    assert done.code == 1
    assert "the weights of resnet18 could not be fetched from https://" in done.error
    assert "give --weights FILE with a state dict, or --random-weights" in done.error
    assert read_index(store).models == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digitz"], "no spec 'digitz': did you mean 'digits'?"),
        (["vgg16"], "no spec 'vgg16': did you mean 'vgg16-imagenet'?"),
        (["/nowhere"], "no spec '/nowhere': known: digit_masks, "),
        (["digits", "--version", "4.0"], "digits has no version 4.0; it has: 1.0, 2.0, 3.0"),
        ([], "name a spec, or give --all or --deployed"),
        (["digits", "--deployed"], "name a spec, or give --all or --deployed"),
        (["digits", "--weights", "pyproject.toml"], "--weights goes with one version: add --version, one of 1.0, 2.0, 3.0"),
        (["digits", "--weights", "no.pt"], "--weights no.pt: no such file"),
        (["digits", "--jobs", "0"], "--jobs 0: required a number of processes, 1 or more"),
        (["digits", "--preflight-timeout", "0"], "--preflight-timeout 0: required more than 0 seconds"),
        (["--all", "--version", "9.9"], "--version 9.9: no spec in"),
        (["--all", "--deployed"], "name a spec, or give --all or --deployed"),
        (["digits", "--weights", "pyproject.toml", "--random-weights"], "--weights and --random-weights exclude each other"),
        (["--deployed", "--random-weights"], "go with the name of a spec, not with --deployed"),
    ],
)
def test_a_wrong_command_is_one_line(arguments: list[str], message: str, store: Store, build_mar: Build) -> None:
    """What was required, what was found; exit code 2, nothing built."""
    done = build_mar(*arguments)
    assert done.code == 2
    assert message in done.error
    assert not store.archives.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"handlr": "x"}, "unknown key 'handlr': did you mean 'handler'?"),
        ({"serving": {"batchsize": 3}}, "unknown key 'serving.batchsize': did you mean 'batch_size'?"),
        ({"versions": {"1": {"sorce": {}, "runtime": "eager"}}}, "unknown key 'versions.1.sorce': did you mean 'source'?"),
        ({"versions": {1.5: {"source": {"network": "network.py"}, "runtime": "eager"}}}, 'write it in quotes: "1.5"'),
        (
            {"versions": {"1": {"source": {"network": "network.py"}, "runtime": "onyx"}}},
            "'versions.1.runtime': Input should be 'eager', 'torchscript', 'export', 'aotinductor', 'onnx' or 'openvino'",
        ),
        ({"versions": {"a b": SPEC["versions"]["1"]}}, "the version 'a b' may have letters"),
        (
            {"versions": {"1": {"source": {}, "runtime": "eager"}}},
            "needs exactly one of network, torchvision, torchscript, onnx, export; found none",
        ),
        ({"handler": "image_classifer"}, "no handler 'image_classifer': did you mean 'image_classifier'?"),
        ({"handler": "mine.py"}, "names mine.py, but"),
        ({"sample": {"request": "no.png"}}, "names no.png, but"),
        (
            {"training": None, "versions": {"1": SPEC["versions"]["1"]}},
            "its network has no weights: give 'weights: FILE' in its source, or --weights FILE, or 'training'",
        ),
        ({"serving": {"workers": 0}}, "'serving.workers': Input should be greater than 0"),
        ({"name": "../up"}, "'name': String should match pattern"),
    ],
)
def test_a_wrong_spec_is_one_line(changes: dict[str, Any], message: str, store: Store, tmp_path: Path, build_mar: Build) -> None:
    """The file, the key, and the nearest right one."""
    done = build_mar(write_model(tmp_path / "model", **changes))
    assert done.code == 2
    assert message in done.error
    assert not list(store.archives.glob("*"))


def test_a_spec_that_is_no_yaml_is_one_line(model: Path, build_mar: Build) -> None:
    """The place of the mistake is in the message; a key that stands twice is a mistake."""
    (model / "model.yaml").write_text("name: a\nname: b\n")
    assert 'found duplicate key "name"' in build_mar(model).error


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"network.py": "import no_such_module"},
            "the network does not import: ModuleNotFoundError: No module named 'no_such_module'",
        ),
        ({"network.py": "x = 1"}, "must define exactly one torch.nn.Module, not 0"),
        (
            {"network.py": NETWORK.replace("(self):", "(self, size):", 1)},
            "the constructor of Brightness needs size: give 'arguments: {size: …}'",
        ),
        ({"training.py": "import no_such_module"}, "does not import: ModuleNotFoundError: No module named 'no_such_module'"),
    ],
)
def test_code_of_a_spec_that_fails_is_one_line(files: dict[str, str], message: str, tmp_path: Path, build_mar: Build) -> None:
    """The real reason, not where we were when it happened."""
    done = build_mar(write_model(tmp_path / "model", files))
    assert done.code == 2
    assert message in done.error


def test_a_handler_that_does_not_import_says_why(store: Store, tmp_path: Path, build_mar: Build) -> None:
    """TorchServe would say "No module named 'ts.torch_handler.mine'"; the build says what is really missing."""
    model = write_model(tmp_path / "model", {"mine.py": "import no_such_module\n"}, handler="mine.py")
    done = build_mar(model, "--version", "1")
    assert done.code == 1
    assert done.error == "brightness-1.mar does not load: ModuleNotFoundError: No module named 'no_such_module'"
    assert not list(store.archives.iterdir())
    assert read_index(store).models == {}


def test_a_handler_named_like_a_library_is_refused(tmp_path: Path, build_mar: Build) -> None:
    """The archive's folder comes first on a worker's path: json.py there would be everyone's json."""
    done = build_mar(write_model(tmp_path / "model", {"json.py": ""}, handler="json.py"))
    assert "the name 'json' hides the module of that name from the worker; rename the file" in done.error


def test_a_wrong_option_is_found_by_the_build(tmp_path: Path, build_mar: Build) -> None:
    """What would fail at load in the server fails in the preflight."""
    done = build_mar(write_model(tmp_path / "model", options={"sise": [4, 4]}), "--version", "1")
    assert "does not load: handlerkit.options.OptionError: unknown option 'sise': did you mean 'size'?" in done.error


def test_a_wrong_answer_to_the_sample_stops_the_build(tmp_path: Path, build_mar: Build) -> None:
    """The sample's label is part of the spec, and is asked of the archive itself."""
    done = build_mar(write_model(tmp_path / "model", sample={"request": "light.png", "label": "dark"}), "--version", "1")
    assert done.error == "brightness-1.mar answers its sample with 'light'; the spec says 'dark'"


def test_a_handler_that_takes_anything_stops_the_build(tmp_path: Path, build_mar: Build) -> None:
    """A request that is no input must be refused, else every mistake of a caller would look like an answer."""
    greedy = (
        "import torch\nfrom handlerkit import ModelHandler\n\nclass Greedy(ModelHandler):\n"
        "    def preprocess_row(self, row):\n        return torch.ones(1, 4, 4)\n"
        "    def postprocess_row(self, output, row):\n        return [{'label': 'light'}]\n"
    )
    done = build_mar(write_model(tmp_path / "model", {"greedy.py": greedy}, handler="greedy.py"), "--version", "1")
    assert "answers a request that is no input with 200; it must refuse it (4xx)" in done.error


def test_an_export_that_differs_stops_the_build(tmp_path: Path, build_mar: Build) -> None:
    """A trace freezes a branch that depends on the input; parity on generated inputs notices, and says by how much."""
    branching = NETWORK.replace(
        "        return torch", "        if images.abs().max() > 1:\n            mean = mean + 7\n        return torch"
    )
    done = build_mar(write_model(tmp_path / "model", {"network.py": branching}), "--version", "1")
    assert done.code == 1
    assert "the exported network differs from the eager one by 7; the spec's tolerance is 0.0001" in done.error


def test_a_wrong_input_shape_is_one_line(tmp_path: Path, build_mar: Build) -> None:
    """A network that does not run on the spec's input says so before anything is archived."""
    done = build_mar(write_model(tmp_path / "model", input=[4]), "--version", "1")
    assert "cannot be exported to torchscript with inputs of shape [[2, 4]]" in done.error


def test_a_failed_build_leaves_the_last_good_one(model: Path, store: Store, build_mar: Build) -> None:
    """Archive and index stay as they were, and nothing is left lying about."""
    assert build_mar(model, "--version", "1").code == 0
    before = store.index.read_bytes(), (store.archives / "brightness-1.mar").read_bytes()
    write_model(model, {"training.py": TRAINING.format(light=str(model / "light.png")) + "\nraise OSError('gone')\n"})
    assert build_mar(model, "--version", "1").code == 2
    assert before == (store.index.read_bytes(), (store.archives / "brightness-1.mar").read_bytes())
    assert not list(store.folder.glob(".build-*"))


def test_an_archive_that_was_changed_is_not_believed(model: Path, store: Store) -> None:
    """A digest that is not the one that was built is an error that names both."""
    found = find_spec(str(model))
    entry = build(Order(found, "1"), store, saying("brightness 1"))
    with (store.archives / entry.archive).open("ab") as file:
        file.write(b"x")
    with pytest.raises(Exception, match=r"is not the archive that was built \(SHA-256 .*it will not be served"):
        verified_archive(store, entry)
    assert not is_current(found, "1", store)


def test_an_unreadable_index_is_one_line(store: Store, model: Path, build_mar: Build) -> None:
    """A damaged index says so; the archives are built again from their specs."""
    store.folder.mkdir()
    store.index.write_text("{")
    assert "index.json: cannot be read (ValidationError); build again" in build_mar(model).error


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system to fill")
def test_a_full_disk_is_one_line(model: Path, store: Store, build_mar: Build) -> None:
    """No archive, no half of one, no entry, no traceback; the message says what to do."""
    store.folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(store.folder)], check=True)
    try:
        done = build_mar(model, "--version", "1")
        assert done.code == 1
        assert "could not be written: No space left on device: free some space and build again" in done.error
        left = {path.name for path in store.folder.rglob("*") if path.is_file() and path.parent.name != ".locks"}
        assert [name for name in left if not name.endswith(".pt")] == []  # the trained weights are good, and stay
    finally:
        subprocess.run(["umount", str(store.folder)], check=True)
