"""One network answers alike by every runtime, and a runtime that cannot do what is asked says so."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from loading import load_in_a_process, unpacked
from models import NETWORK, SPEC, write_model
from scripts_of_ours import Ended, call_script, run_script
from workers import Worker, config, image_classifier, traced

from marina.paths import Store
from marina.store.exporters import RUNTIMES
from marina.store.exporters.aotinductor import CPUINFO
from marina.store.index import read_index

CONVOLUTION = """
from torch import nn


class Small(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 2)
        )
"""
SOURCE = {"network": "network.py"}
COLOUR: dict[str, Any] = {"options": {"size": [16, 16]}, "input": [3, 16, 16], "sample": {"request": "light.png"}}


def versions(**settings: Any) -> dict[str, Any]:
    return {"1": {"source": SOURCE, **settings}}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The entries of one network with random weights, built for every runtime."""
    folder = tmp_path_factory.mktemp("runtimes")
    every: dict[str, Any] = {name: {"source": SOURCE, "runtime": name} for name in RUNTIMES}
    every |= {"eager-compiled": {"source": SOURCE, "runtime": "eager", "compile": True, "channels_last": True}}
    every |= {"torchscript-scripted": {"source": SOURCE, "runtime": "torchscript", "script": True}}
    every |= {"torchscript-channels-last": {"source": SOURCE, "runtime": "torchscript", "channels_last": True}}
    model = write_model(folder / "model", {"network.py": CONVOLUTION}, versions=every, **COLOUR)
    command = [sys.executable, "scripts/build_mar.py", str(model), "--store", str(folder / "store"), "--random-weights"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {"store": Store(folder / "store"), **read_index(Store(folder / "store")).models["brightness"]}


@pytest.mark.parametrize("runtime", [*RUNTIMES, "eager-compiled", "torchscript-scripted", "torchscript-channels-last"])
def test_every_runtime_answers_like_the_eager_network(built: dict[str, Any], runtime: str) -> None:
    """Asked by a handler in a worker's process, for several batch sizes: within 1e-4, which the build measured."""
    assert built[runtime].parity.largest_difference <= 1e-4
    assert built[runtime].parity.compared_rows == 12


WATCHED = """
import os, sys, threading
folder, sys.argv = sys.argv[1], ["", "", ""]
from pathlib import Path
import torch
from marina.paths import METRICS_CONFIG
from marina.store.preflight_worker import load
handler, seen, over = load(Path(folder), str(METRICS_CONFIG))._entry_point.__self__, set(), threading.Event()

def look():
    while not over.is_set():
        seen.add(len(os.sched_getaffinity(os.getpid())))

looking = threading.Thread(target=look)
looking.start()
for _ in range(200):
    handler.runtime.run(torch.zeros(64, 3, 16, 16))
over.set()
looking.join()
print(min(seen))
"""


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_no_runtime_ties_a_worker_to_a_core(built: dict[str, Any], runtime: str, tmp_path: Path) -> None:
    """OpenVINO takes the first one unless it is told not to: workers of one thread then share that one, and the others idle."""
    folder = unpacked(built["store"].archives / f"brightness-{runtime}.mar", tmp_path)
    environment = os.environ | {"PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, "-c", WATCHED, str(folder)]
    watched = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
    assert watched.stdout.splitlines()[-1:] == [str(len(os.sched_getaffinity(0)))], watched.stderr


FREE = {"images": {"shape": [3, 16, 16], "free": [1, 2]}}
POOLED = CONVOLUTION.replace("AdaptiveAvgPool2d(2)", "AdaptiveAvgPool2d(1)").replace("32, 2", "8, 2")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_sizes_that_are_free_may_vary(runtime: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exported from one example, a network takes other heights and widths, and answers them like the eager one."""
    every = {"1": {"source": SOURCE, "runtime": runtime}}
    model = write_model(tmp_path / "model", {"network.py": POOLED}, versions=every, **COLOUR | {"input": FREE})
    done = call_script(capsys, "build_mar", model, "--store", tmp_path / "store", "--random-weights")
    assert done.code == 0, done.err
    parity = read_index(Store(tmp_path / "store")).models["brightness"]["1"].parity
    assert parity is not None
    assert parity.compared_rows == 18


def test_a_size_that_is_free_in_the_spec_alone_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A trace that holds the example's size fails the build, not a request."""
    fixed = POOLED.replace("nn.Flatten()", "nn.Flatten(), nn.Unflatten(1, (2, 4)), nn.Flatten()").replace(
        "nn.AdaptiveAvgPool2d(1)", "nn.AvgPool2d(16)"
    )
    model = write_model(tmp_path / "model", {"network.py": fixed}, versions=versions(runtime="onnx"), **COLOUR | {"input": FREE})
    done = call_script(capsys, "build_mar", model, "--store", tmp_path / "store", "--random-weights")
    assert done.code == 1
    assert "the network does not run on inputs of shape [[2, 3, 12, 12]]" in done.error


UPRIGHT = """
import torch
from torch import nn


class Upright(nn.Module):
    def forward(self, images):
        if images.shape[3] > images.shape[2]:
            images = -images
        return torch.stack([images.mean((1, 2, 3)), images.amax((1, 2, 3))], dim=1)
"""


def test_a_relation_of_sizes_that_an_export_holds_on_to_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A trace of a square example knows no images that are wider than high; the build tries each size by itself."""
    wanted = versions(runtime="torchscript")
    model = write_model(tmp_path / "model", {"network.py": UPRIGHT}, versions=wanted, **COLOUR | {"input": FREE})
    done = call_script(capsys, "build_mar", model, "--store", tmp_path / "store", "--random-weights")
    assert done.code == 1
    assert "the exported network differs from the eager one by" in done.error


UNWANTED = {
    "onnx": ("openvino", "torchvision", "captum", "onnx.", "torch._inductor.codecache"),
    "openvino": ("onnxruntime", "torchvision", "captum"),
    "torchscript": ("onnxruntime", "openvino", "torchvision", "captum"),
    "eager": ("onnxruntime", "openvino", "torchvision", "captum"),
}


@pytest.mark.parametrize("runtime", UNWANTED)
def test_a_worker_imports_nothing_that_its_archive_does_not_use(built: dict[str, Any], runtime: str, tmp_path: Path) -> None:
    """After load, warm-up included, the other runtimes, torchvision and Captum are not in memory."""
    done = load_in_a_process(unpacked(built["store"].archives / f"brightness-{runtime}.mar", tmp_path))
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert not [name for name in loaded if name.startswith(UNWANTED[runtime])]
    assert any(name.startswith("handlerkit.runtimes." + runtime) for name in loaded)


def test_a_package_compiled_for_another_processor_is_refused_at_load(built: dict[str, Any], tmp_path: Path) -> None:
    """It would end the worker by an illegal instruction; the message names what is missing."""
    archive = unpacked(built["store"].archives / "brightness-aotinductor.mar", tmp_path / "archive")
    here = (archive / "processor.txt").read_text()
    assert here.split()
    (archive / "processor.txt").write_text(here + "avx1024_marina\nwarm_cache\n")
    done = load_in_a_process(archive)
    last = done.stderr.strip().splitlines()[-1]
    missing = "avx1024_marina, which this one has not: build it for this machine"
    assert last == f"ValueError: the network was compiled for a processor with {missing}"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"runtime": "onnx", "precision": "bf16"}, "ONNX Runtime has no bf16 on CPUs; use precision fp32, or runtime openvino"),
        ({"runtime": "onnx", "channels_last": True}, "runtime onnx: chooses its own layout; leave channels_last out"),
        ({"runtime": "onnx", "script": True}, "runtime onnx: script goes with runtime torchscript"),
        ({"runtime": "export", "compile": True}, "compile goes with runtime eager; aotinductor compiles at build"),
        ({"runtime": "eager", "device": "cuda"}, "the archive wants device cuda; this machine has none that torch can use"),
    ],
)
def test_what_a_runtime_cannot_do_is_one_line(
    settings: dict[str, Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused by the build, before anything ships."""
    if settings.get("device") == "cuda" and torch.cuda.is_available():
        message = ""
    done = _build(capsys, write_model(tmp_path / "model", versions=versions(**settings)), tmp_path)
    assert message in (done.error if message else "")


BF16 = ("eager", "torchscript", "export", "aotinductor", "openvino")


def _instructions() -> str:
    return CPUINFO.read_text() if CPUINFO.exists() else ""


@pytest.mark.parametrize("runtime", BF16)
def test_bf16_is_used_where_the_machine_computes_it_and_refused_where_not(
    runtime: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No silent emulation, which is slower than fp32: the load fails, and the build says so."""
    model = write_model(
        tmp_path / "model",
        {"network.py": CONVOLUTION},
        versions=versions(runtime=runtime, precision="bf16", tolerance=0.05),
        **COLOUR,
    )
    done = call_script(capsys, "build_mar", model, "--store", tmp_path / "store", "--random-weights")
    if re.search(r"avx512_bf16|amx_bf16|avx_ne_convert|\bbf16", _instructions()):
        assert done.code == 0, done.err
        found = read_index(Store(tmp_path / "store")).models["brightness"]["1"]
        assert found.parity is not None
        assert 1e-5 < found.parity.largest_difference < 0.05  # not fp32 under another name
    else:
        assert REFUSED in done.error


REFUSED = "precision bf16: this machine's cpu has no instructions for it; build with precision fp32"


def test_bf16_is_refused_by_a_processor_without_it(tmp_path: Path) -> None:
    """As one with AVX2 alone, which oneDNN is told to be; the archive is not built, and the reason is one line."""
    model = write_model(tmp_path / "model", versions=versions(runtime="eager", precision="bf16"))
    done = run_script("build_mar", model, "--store", tmp_path / "store", environment={"ONEDNN_MAX_CPU_ISA": "AVX2"})
    assert done.error == f"brightness-1.mar does not load: ValueError: {REFUSED}"
    assert not list((tmp_path / "store" / "archives").iterdir())


def test_avx512_alone_does_not_compute_bf16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every AVX-512 torch says that it does bf16, and emulates it; the processor's own list of instructions is believed."""
    from handlerkit import machine

    listed = tmp_path / "cpuinfo"
    monkeypatch.setattr(machine, "CPUINFO", listed)
    listed.write_text("processor : 0\nflags : fpu avx2 avx512f avx512bw avx512vl avx512_vnni\n")
    with pytest.raises(ValueError, match=REFUSED):
        machine.check_bf16(torch.device("cpu"))


def test_threads_are_divided_by_workers(tmp_path: Path) -> None:
    """TorchServe never divides the cores: four workers would take four times all of them."""
    from handlerkit import machine

    assert machine.threads(1) == machine.cores()
    assert machine.threads(machine.cores()) == 1
    assert machine.threads(1000) == 1
    assert machine.threads(2, wanted=7) == 7
    settings = config({"size": [4, 4], "mode": "L"}) | {"minWorkers": 1000}
    before = torch.get_num_threads()
    Worker(image_classifier(), traced(tmp_path, torch.nn.Flatten(), (1, 4, 4)), settings)
    assert torch.get_num_threads() == 1
    torch.set_num_threads(before)


def test_a_network_that_a_runtime_cannot_hold_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """torch.export refuses a branch on a value; the message has its reason."""
    branching = NETWORK.replace(
        "        return torch", "        if mean.sum() > 1:\n            mean = mean + 7\n        return torch"
    )
    model = write_model(
        tmp_path / "model", {"network.py": branching}, versions={"1": SPEC["versions"]["1"] | {"runtime": "export"}}
    )
    assert "the network cannot be exported to export with inputs of shape [[2, 1, 4, 4]]" in _build(capsys, model, tmp_path).error


def _build(capsys: pytest.CaptureFixture[str], model: Path, folder: Path) -> Ended:
    return call_script(capsys, "build_mar", model, "--store", folder / "store")
