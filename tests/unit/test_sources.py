"""Where a network comes from: what is wrong with a source is said in one line, before anything is built."""

from __future__ import annotations

import argparse
import json
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from ruamel.yaml import YAML
from safetensors.torch import save_file
from sources import ARGUMENTS, HIDDEN, LIGHTNING, NETWORK, SOURCES, class_of, save_checkpoint, trained, write_digits, write_files
from torch import nn

from marina import paths
from marina.errors import UsageError
from marina.paths import Store
from marina.store.build import is_current
from marina.store.inputs import inputs_digest
from marina.store.source_runtimes import RUNTIMES, runtimes_of
from marina.store.sources import Network, WeightsChoice, load_network, with_sample
from marina.store.spec import Source, find_spec

pytestmark = pytest.mark.filterwarnings("ignore")  # of exporters, and of Lightning
Load = Callable[..., Network]
STATE = {"network": "network.py", "arguments": ARGUMENTS}


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return trained()


@pytest.fixture(scope="module")
def made(network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network in every kind of file."""
    folder = tmp_path_factory.mktemp("made")
    write_files(folder, network)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A spec's folder, with every file."""
    written = write_digits(tmp_path / "model", {"1": {"source": STATE, "runtime": "torchscript"}})
    for path in made.iterdir():
        (written / path.name).symlink_to(path)
    return written


@pytest.fixture
def load(folder: Path) -> Load:
    """Loads the network of a source, as the build does."""

    def loaded(
        source: dict[str, Any], runtime: str = "torchscript", choice: WeightsChoice | None = None, **changes: Any
    ) -> Network:
        change(folder, versions={"1": {"source": source, "runtime": runtime} | changes.pop("version", {})}, **changes)
        store = Store(folder.parent / "store")
        return load_network(find_spec(str(folder)), "1", store, choice or WeightsChoice(), _nothing)

    return loaded


def _nothing(_done: int, _of: int) -> None:
    pass


def change(folder: Path, **changes: Any) -> None:
    yaml = YAML(typ="safe", pure=True)
    spec = yaml.load((folder / "model.yaml").read_text()) | changes
    with (folder / "model.yaml").open("w") as file:
        yaml.dump({key: value for key, value in spec.items() if value is not None}, file)


def refused(load: Load, source: dict[str, Any], *arguments: Any, **changes: Any) -> str:
    """The one line that a source is refused by."""
    with pytest.raises(UsageError) as caught:
        load(source, *arguments, **changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def same(first: nn.Module, second: nn.Module) -> bool:
    images = torch.rand(5, 1, 8, 8)
    return torch.allclose(first(images), second(images), atol=1e-5)


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_gives_the_network_that_was_trained(source: str, load: Load, network: nn.Module) -> None:
    """Whatever it arrives in, it computes the same."""
    runtime = runtimes_of(Source.model_validate(SOURCES[source]).kind)[-1]
    loaded = load(SOURCES[source], runtime)
    assert same(loaded.served, network)
    assert (loaded.weights.source, loaded.weights.chosen) == ("file", False)


@pytest.mark.parametrize(
    ("kind", "refuses"),
    [("network", ()), ("torchvision", ()), ("torchscript", ("eager", "export", "aotinductor")), ("export", ("eager",))],
)
def test_a_runtime_that_a_source_cannot_have_is_refused_with_those_it_can(
    kind: str, refuses: tuple[str, ...], load: Load
) -> None:
    """By the spec alone: the file need not be there."""
    assert set(RUNTIMES) - set(runtimes_of(kind)) == set(refuses)
    for runtime in refuses:
        message = refused(load, {kind: "nothing"}, runtime)
        assert f"'versions.1': runtime {runtime}: " in message
        assert message.endswith(f"; source {kind} goes with {', '.join(runtimes_of(kind))}")


def test_why_a_runtime_is_refused_is_said(load: Load) -> None:
    """The reason is of the file's kind."""
    assert "runtime eager: eager runs a network's Python, which a TorchScript file does not hold" in refused(
        load, {"torchscript": "a.pt"}, "eager"
    )
    assert "runtime export: torch.export does not take TorchScript" in refused(load, {"torchscript": "a.pt"}, "export")
    assert "runtime torchscript: PyTorch does not run ONNX; source onnx goes with onnx, openvino" in refused(load, {"onnx": "a"})
    bf16 = refused(load, {"export": "a.pt2"}, version={"precision": "bf16"})
    assert "precision bf16: an exported program keeps the precision it has; use fp32, or runtime openvino" in bf16
    assert "channels_last: an exported program keeps the layout it has" in refused(
        load, {"export": "a.pt2"}, version={"channels_last": True}
    )
    assert "method scored: an ONNX file holds one method alone, its forward" in refused(
        load, {"onnx": "a.onnx"}, "onnx", version={"method": "scored"}
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"network": "network.py", "onnx": "a.onnx"}, "needs exactly one of network, torchvision, torchscript, onnx, export; "),
        ({"onix": "a.onnx"}, "unknown key 'versions.1.source.onix': did you mean 'onnx'?"),
        ({"network": "network.py", "clas": "Net"}, "unknown key 'versions.1.source.clas': did you mean 'class'?"),
        ({"torchscript": "a.pt", "weights": "b.pt"}, "'weights' goes with network or torchvision, not with torchscript"),
        ({"torchvision": "resnet18", "class": "Net"}, "'class' goes with network, not with torchvision"),
        ({"onnx": "a.onnx", "prefix": "a."}, "'prefix' goes with network or torchvision, not with onnx"),
        ({"network": "network.py", "weights": "w.pt", "checkpoint": "c.ckpt"}, "'weights' and 'checkpoint' exclude each other"),
        ({"network": "network.py", "weights": "IMAGENET1K_V1"}, "'IMAGENET1K_V1' has no suffix"),
    ],
)
def test_keys_that_do_not_go_together_are_named(source: dict[str, Any], message: str, load: Load) -> None:
    """By the spec alone, with the key that was meant."""
    assert message in refused(load, source)


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors", "last.ckpt", "traced.pt", "digits.onnx", "digits.pt2"])
@pytest.mark.parametrize("key", ["weights", "checkpoint", "torchscript", "onnx", "export"])
def test_a_file_under_the_wrong_key_is_recognised(name: str, key: str, load: Load) -> None:
    """By its content: what it is, and the key that fits."""
    right = next(one for source in SOURCES.values() for one, file in source.items() if file == name)
    source = {key: name} | (STATE if key in ("weights", "checkpoint") else {})
    if key == right or (key, name) == ("weights", "last.ckpt"):
        return
    message = refused(load, source, "onnx" if key == "onnx" else "torchscript")
    assert f"name it by '{right}: {name}'" in message
    assert "required a" in message


@pytest.mark.parametrize("key", ["weights", "checkpoint", "torchscript", "onnx", "export"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "this is an empty file: fetch it again"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n",
            "a pointer of git-lfs, not the file itself: run git",
        ),
        (b"\n<!DOCTYPE html><html>Sign in</html>", "this is a web page that was saved in place of the file"),
        (b"hello\n", "this is text, no file of weights or of a network"),
        (b"\x00\xff" * 99, "this is none of the kinds of file that hold a network or weights"),
        (b"\x89HDF\r\n", "this is an HDF5 file, as Keras writes: convert it to ONNX"),
        (b"PK\x03\x04 and no more", "this is a file that is damaged, or cut off before its end"),
        (pickle.dumps(argparse.Namespace()), "a pickle that torch.save did not write (argparse.Namespace)"),
    ],
    ids=["empty", "lfs", "html", "text", "noise", "keras", "half a zip", "pickle"],
)
def test_a_file_that_is_no_such_thing_is_named(key: str, content: bytes, message: str, folder: Path, load: Load) -> None:
    """Whichever key it stands under."""
    (folder / "file.bin").write_bytes(content)
    source = {key: "file.bin"} | (STATE if key in ("weights", "checkpoint") else {})
    assert message in refused(load, source, "onnx" if key == "onnx" else "torchscript")


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors", "last.ckpt", "traced.pt", "digits.onnx", "digits.pt2"])
def test_a_file_that_was_cut_off_says_so(name: str, made: Path, folder: Path, load: Load) -> None:
    """As a download that broke leaves it."""
    (folder / "cut.bin").write_bytes((made / name).read_bytes()[: (made / name).stat().st_size * 2 // 3])
    key = next(one for source in SOURCES.values() for one, file in source.items() if file == name)
    source = {key: "cut.bin"} | (STATE if key in ("weights", "checkpoint") else {})
    assert "damaged, or cut off before its end" in refused(load, source, "onnx" if key == "onnx" else "torchscript")


def test_a_file_that_is_missing_or_a_folder_is_named(folder: Path, load: Load) -> None:
    """With the path at which it was looked for."""
    assert f"names no.pt2, but {folder / 'no.pt2'} is no file" in refused(load, {"export": "no.pt2"})
    assert f"names held_out/, but {folder / 'held_out'} is a folder" in refused(load, STATE | {"weights": "held_out/"})


def test_a_whole_module_is_not_unpickled(folder: Path, load: Load, tmp_path: Path) -> None:
    """The message has the line that makes a state dict of it; nothing of the file is run to find out."""
    trap = tmp_path / "trapped"
    torch.save(Trap(trap), folder / "whole.pt")
    for key in ("weights", "torchscript"):
        message = refused(load, {key: "whole.pt"} | (STATE if key == "weights" else {}))
        assert "this is a whole pickled module (io.open), and to unpickle it runs any code that is in it" in message
        assert "torch.save(torch.load('whole.pt', weights_only=False).state_dict(), 'weights.pt')" in message
    assert not trap.exists()
    torch.save(nn.Linear(2, 2), folder / "old.pt", _use_new_zipfile_serialization=False)
    assert "a whole pickled module (torch.nn.modules.linear.Linear)" in refused(load, STATE | {"weights": "old.pt"})


class Trap:
    """What does something when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (str(self.path), "w")


@pytest.mark.parametrize(
    ("shape", "prefix"),
    [
        (lambda state: {f"module.{key}": value for key, value in state.items()}, "module."),
        (lambda state: {f"_orig_mod.{key}": value for key, value in state.items()}, "_orig_mod."),
        (lambda state: {f"net.{key}": value for key, value in state.items()} | {"loss.weight": torch.ones(1)}, "net."),
        (lambda state: {"state_dict": state, "epoch": 3}, None),
        (lambda state: {"model": state, "optimizer": {"state": {}}}, None),
        (lambda state: {"model": {f"module.{key}": value for key, value in state.items()}}, "module."),
        (lambda state: {"model": state, "ema": {key: value * 0 for key, value in state.items()}}, "model."),
        (lambda state: {key: value.half() for key, value in state.items()}, None),
    ],
    ids=["DataParallel", "torch.compile", "part", "state_dict", "model", "model and DataParallel", "two", "half"],
)
def test_weights_are_found_where_trainers_put_them(
    shape: Callable[[Any], Any], prefix: str | None, folder: Path, load: Load, network: nn.Module
) -> None:
    """A prefix is taken off where the spec says so, and the message that it is missing names it."""
    torch.save(shape(dict(network.state_dict())), folder / "shaped.pth")
    source = STATE | {"weights": "shaped.pth"}
    if prefix:
        assert f"'prefix: {prefix}' in its source" in refused(load, source)
        source["prefix"] = prefix
    images = torch.rand(3, 1, 8, 8)
    assert torch.allclose(load(source).module(images), network(images), atol=0.05)


def test_weights_of_before_torch_1_6_are_read(folder: Path, load: Load, network: nn.Module) -> None:
    """One pickle after another, no zip."""
    torch.save(network.state_dict(), folder / "old.pth", _use_new_zipfile_serialization=False)
    assert same(load(STATE | {"weights": "old.pth"}).module, network)


def test_weights_saved_on_a_gpu_are_read_without_one(made: Path, folder: Path, load: Load, network: nn.Module) -> None:
    """The file says cuda:0 of every tensor; the machine that builds need have none."""
    with zipfile.ZipFile(made / "weights.pt") as old, zipfile.ZipFile(folder / "cuda.pt", "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"))
    assert b"cuda:0" in zipfile.ZipFile(folder / "cuda.pt").read("weights/data.pkl")
    assert same(load(STATE | {"weights": "cuda.pt"}).module, network)


def test_weights_that_do_not_fit_say_what_would(load: Load) -> None:
    """Keys, shapes and prefixes, each by its own message."""
    weights = {"weights": "weights.pt"}
    assert "layers.1.weight has shape [24, 64], required [8, 64]" in refused(load, STATE | weights | {"arguments": {"hidden": 8}})
    assert "no key begins with the prefix 'layer.': did you mean 'layers.'?" in refused(
        load, STATE | weights | {"prefix": "layer."}
    )
    plain = {"network": "plain.py", "arguments": ARGUMENTS} | weights
    assert (
        "4 keys missing (first: 1.weight), 4 keys unexpected (first: layers.1.weight): with 'prefix: layers.' in its"
        in refused(load, plain)
    )


@pytest.mark.parametrize(
    ("code", "source", "message"),
    [
        (NETWORK, {}, "the constructor of Reader needs hidden: give 'arguments: {hidden: …}' in its source"),
        (NETWORK, {"arguments": {"hiden": 3}}, "the constructor of Reader takes no 'hiden': did you mean 'hidden'?"),
        (NETWORK, {"arguments": {"hidden": "wide"}}, "the network cannot be built: TypeError"),
        (NETWORK, {"class": "Raeder"}, "network.py has no class 'Raeder': did you mean 'Reader'?"),
        (NETWORK + "class Other(nn.Module):\n    pass\n", {}, "not 2: Reader, Other; choose one by 'class' in its source"),
    ],
)
def test_a_class_and_its_arguments_are_named(code: str, source: dict[str, Any], message: str, folder: Path, load: Load) -> None:
    """Before any weights are read."""
    (folder / "network.py").write_text(code)
    assert message in refused(load, {"network": "network.py", "weights": "weights.pt"} | source)


def test_random_weights_may_be_the_specs(load: Load) -> None:
    """No option is needed, and building again is allowed."""
    loaded = load(STATE | {"weights": "random"})
    assert (loaded.weights.source, loaded.weights.chosen) == ("random", False)
    assert load(STATE | {"weights": "weights.pt"}, choice=WeightsChoice(random=True)).weights.chosen


def test_a_whole_network_takes_no_other_weights(load: Load) -> None:
    """--weights and --random-weights are for networks that come without."""
    message = refused(load, {"torchscript": "traced.pt"}, choice=WeightsChoice(random=True))
    assert message == "reader 1: its torchscript file holds its weights: choose none"


def test_torchvisions_network_takes_a_file_and_another_number_of_classes(folder: Path, load: Load) -> None:
    """The head's size is an argument; a file that has another says which."""
    from torchvision.models import get_model

    torch.save(get_model("shufflenet_v2_x0_5", num_classes=10).state_dict(), folder / "ten.pth")
    source: dict[str, Any] = {"torchvision": "shufflenet_v2_x0_5", "weights": "ten.pth"}
    message = refused(load, source)
    assert "fc.weight has shape [10, 1024], required [1000, 1024]; where that is the number of classes, write " in message
    assert "'arguments: {num_classes: 10}' in its source" in message
    loaded = load(source | {"arguments": {"num_classes": 10}})
    assert loaded.module(torch.rand(2, 3, 32, 32)).shape == (2, 10)
    assert "a file has a suffix, as cats.pth; and there is random" in refused(load, source | {"weights": "IMAGENET1K_V9"})
    assert load(source | {"weights": "random"}).weights.source == "random"


def test_a_checkpoint_gives_its_hyper_parameters_to_a_plain_module(load: Load, network: nn.Module) -> None:
    """What its constructor takes of them; without Lightning, which is not imported."""
    source = SOURCES["checkpoint, without Lightning"]
    assert same(load(source).module, network)
    assert "required [8, 64]" in refused(load, source | {"arguments": {"hidden": 8}})
    eager = load(source, "eager")
    assert eager.builder is not None
    assert f"super().__init__(**{{'hidden': {HIDDEN}}})" in eager.builder


@pytest.mark.parametrize("network_file", ["trained.py", "plain.py"])
def test_a_checkpoint_of_an_old_lightning_is_read(
    network_file: str, made: Path, folder: Path, load: Load, network: nn.Module
) -> None:
    """Which called its hyper-parameters otherwise; Lightning itself migrates what it can."""
    content = torch.load(made / "last.ckpt", weights_only=True)
    content["hparams"] = content.pop("hyper_parameters")
    content["pytorch-lightning_version"] = "1.0.0"
    del content["loops"]
    torch.save(content, folder / "old.ckpt")
    source = {"network": network_file, "checkpoint": "old.ckpt"} | ({"prefix": "reader."} if network_file == "plain.py" else {})
    assert same(load(source).module, network)


def test_a_checkpoint_with_objects_is_refused_until_they_are_allowed(folder: Path, load: Load, network: nn.Module) -> None:
    """What is in it is named, and so is the key that allows it; of a class in the network's file, too."""
    code = LIGHTNING.replace("hidden, learning_rate=0.1", "hidden, options=None")
    save_checkpoint(folder / "objects.ckpt", network, code, options=argparse.Namespace(depth=2))
    (folder / "trained.py").write_text(code)
    source = {"network": "trained.py", "checkpoint": "objects.ckpt"}
    message = refused(load, source)
    assert (
        "to read it is to make objects of argparse.Namespace, whose code could do anything: where you trust the file, " in message
    )
    assert "write 'safe_globals: [argparse.Namespace]' in its source" in message
    allowed = source | {"safe_globals": ["argparse.Namespace"]}
    assert same(load(allowed).module, network)
    assert "runtime eager: its archive cannot write down the arguments options, which are no plain values" in refused(
        load, allowed, "eager"
    )
    assert "'safe_globals' names argparse.Nmespace, which does not import" in refused(
        load, source | {"safe_globals": ["argparse.Nmespace"]}
    )


def test_a_checkpoint_that_does_not_fit_its_module_says_what_would(folder: Path, load: Load) -> None:
    """A LightningModule of other layers, or a file that is no checkpoint."""
    (folder / "trained.py").write_text(LIGHTNING.replace("self.reader", "self.net"))
    message = refused(load, {"network": "trained.py", "checkpoint": "last.ckpt"})
    assert "4 keys missing (first: net.1.weight), 4 keys unexpected (first: reader.1.weight)" in message


def test_an_example_of_a_network_becomes_the_sample(folder: Path, load: Load, tmp_path: Path) -> None:
    """Of tensor_model alone: an image is not what a network's input is."""
    source = SOURCES["checkpoint of Lightning"]
    options = {"inputs": {"images": {"shape": [1, 8, 8]}}}
    loaded = load(source, sample=None, handler="tensor_model", options=options)
    sample = with_sample(find_spec(str(folder)), loaded, tmp_path).sample
    assert json.loads(Path(sample.request).read_text()) == {"data": [[[1.0] * 8] * 8]}
    load(source, handler="image_classifier")
    with pytest.raises(UsageError, match="a request of handler image_classifier cannot be made of a network"):
        with_sample(find_spec(str(folder)), loaded, tmp_path)
    plain = load(SOURCES["safetensors"], handler="tensor_model")
    with pytest.raises(UsageError, match="'sample' is required, unless the network has an example_input_array"):
        with_sample(find_spec(str(folder)), plain, tmp_path)
    load(source, input=[64])
    with pytest.raises(UsageError, match=r"example_input_array has rows of \[\[1, 8, 8\]\], 'input' says \[\[64\]\]"):
        with_sample(find_spec(str(folder)), loaded, tmp_path)


def test_a_network_that_does_not_run_on_the_specs_input_says_why(load: Load) -> None:
    """In the words of what ran it, not of our code."""
    for source, runtime in (({"torchscript": "scripted.pt"}, "torchscript"), ({"onnx": "digits.onnx"}, "onnx")):
        message = refused(load, source, runtime, input=[1, 8, 9])
        assert "does not run on the spec's input, [1, 1, 8, 9] float32: " in message
    message = refused(load, {"export": "digits.pt2"}, input=[1, 8, 9])
    assert "does not run on the spec's input, [1, 1, 8, 9] float32: " in message


def test_a_network_for_one_row_at_a_time_is_refused(folder: Path, load: Load, network: nn.Module) -> None:
    """TorchServe asks in batches; the message says how the file is made for any number of rows."""
    one = torch.rand(1, 1, 8, 8)
    torch.onnx.export(network, (one,), str(folder / "one.onnx"), dynamo=False)
    torch.export.save(torch.export.export(network, (one,)), folder / "one.pt2")
    fixed = nn.Sequential(nn.Unflatten(0, (1, 1)), nn.Flatten(0, 1), network)
    torch.jit.save(torch.jit.trace(fixed, one), str(folder / "one.pt"))
    message = refused(load, {"onnx": "one.onnx"}, "onnx")
    assert "runs on one row, not on 2 at once, as batches do (" in message
    assert "): export it again with the first size of each input free" in message
    assert "with dynamic_shapes that leave the first size of each input free" in refused(load, {"export": "one.pt2"})
    assert "trace it with an example of two rows" in refused(load, {"torchscript": "one.pt"})


def test_inputs_of_an_onnx_file_are_matched_by_name(folder: Path, load: Load) -> None:
    """In the spec's order, whatever the file's; other names are told."""
    tensors = [onnx.helper.make_tensor_value_info(name, 1, ["rows", 2]) for name in ("right", "left", "out")]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Sub", ["left", "right"], ["out"])], "g", tensors[:2], tensors[2:])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8), folder / "sub.onnx")
    given = {"left": {"shape": [2]}, "right": {"shape": [2]}}
    loaded = load({"onnx": "sub.onnx"}, "onnx", input=given)
    assert loaded.module(torch.ones(1, 2), torch.zeros(1, 2)).tolist() == [[1.0, 1.0]]
    message = refused(load, {"onnx": "sub.onnx"}, "onnx", input={"a": {"shape": [2]}, "b": {"shape": [2]}})
    assert "its inputs are right, left; the spec's are a, b: name them alike in 'input'" in message
    whole = refused(load, {"onnx": "sub.onnx"}, "onnx", input=given | {"left": {"shape": [2], "dtype": "int64"}})
    assert "its input left is tensor(float); the spec's input is int64: see 'dtype' in 'input'" in whole


def test_an_onnx_file_that_cannot_be_run_says_why(made: Path, folder: Path, load: Load) -> None:
    """An opset of the future, external data left behind, a graph that the checker refuses."""
    model = onnx.load(made / "digits.onnx")
    model.opset_import[0].version = 99
    onnx.save(model, folder / "new.onnx")
    assert "new.onnx: ONNX Runtime cannot load it: …" in refused(load, {"onnx": "new.onnx"}, "onnx")
    model = onnx.load(made / "digits.onnx")
    onnx.save(model, folder / "outside.onnx", save_as_external_data=True, location="digits.bin", size_threshold=0)
    (folder / "digits.bin").rename(folder / "moved.bin")
    assert "its tensors are in digits.bin, which must lie beside it and does not" in refused(
        load, {"onnx": "outside.onnx"}, "onnx"
    )


def test_a_torchscript_method_is_served_and_another_refused(folder: Path, load: Load) -> None:
    """By its name, with its inputs."""
    scripted = torch.jit.script(class_of(METHODS)())
    torch.jit.save(scripted, str(folder / "methods.pt"))
    loaded = load({"torchscript": "methods.pt"}, version={"method": "doubled"})
    assert loaded.served(torch.ones(1)).tolist() == [2.0]
    assert "has no method 'doubledd': did you mean 'doubled'?" in refused(
        load, {"torchscript": "methods.pt"}, version={"method": "doubledd"}
    )
    two = {"first": {"shape": [2]}, "second": {"shape": [2]}}
    assert "forward takes 1 inputs (values); the spec has 2" in refused(load, {"torchscript": "methods.pt"}, input=two)


METHODS = """
import torch
from torch import nn


class Methods(nn.Module):
    def forward(self, values):
        return values

    @torch.jit.export
    def doubled(self, values):
        return 2 * values
"""


def test_a_changed_file_makes_its_version_stale_wherever_it_lies(made: Path, folder: Path, tmp_path: Path) -> None:
    """Also outside of the spec's folder; and a version that does not name it stays as it is."""
    for name in ("weights.pt", "digits.onnx"):
        (tmp_path / name).write_bytes((made / name).read_bytes())
    outside = {
        "1": {"source": STATE | {"weights": "../weights.pt"}, "runtime": "eager"},
        "2": {"source": {"onnx": str(tmp_path / "digits.onnx")}, "runtime": "onnx"},
    }
    change(folder, versions=outside)
    found = find_spec(str(folder))
    before = [inputs_digest(found, version) for version in ("1", "2")]
    with (tmp_path / "weights.pt").open("ab") as file:
        file.write(b"x")
    assert inputs_digest(found, "1") != before[0]
    assert inputs_digest(found, "2") == before[1]
    assert not is_current(found, "1", Store(tmp_path / "store"))


def test_reading_a_spec_and_its_changes_imports_no_torch(folder: Path) -> None:
    """Whatever its source is."""
    change(folder, versions={"1": {"source": {"onnx": "digits.onnx"}, "runtime": "onnx"}})
    code = (
        "import sys; from marina.store.spec import find_spec; from marina.store.inputs import inputs_digest;"
        f"inputs_digest(find_spec({str(folder)!r}), '1'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=paths.ROOT, check=False).returncode == 0


def test_an_archive_or_a_compiled_package_is_no_network(folder: Path, load: Load) -> None:
    """What was built already is told from what is to be built."""
    for name, inside, message in (
        ("model.mar", "MAR-INF/MANIFEST.json", "this is an archive (.mar)"),
        ("aot.pt2", "aot/archive_format", "this is a package compiled by AOTInductor"),
    ):
        with zipfile.ZipFile(folder / name, "w") as file:
            file.writestr(inside, "{}")
        assert message in refused(load, {"export": name})


def test_safetensors_need_no_unpickling(folder: Path, load: Load, network: nn.Module) -> None:
    """Behind a prefix as well."""
    save_file({f"module.{key}": value for key, value in network.state_dict().items()}, folder / "w.safetensors")
    assert same(load(STATE | {"weights": "w.safetensors", "prefix": "module."}).module, network)
