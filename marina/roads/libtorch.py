"""A C++ program around the network: without Python, without a server."""

from __future__ import annotations

import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

import torch

from marina.errors import UsageError
from marina.roads.networks import Source
from marina.roads.order import Made, Order
from marina.store.exporters import Exported, Inputs, example_inputs
from marina.store.labels import Entries

TEMPLATES = Path(__file__).parent / "templates" / "libtorch"
BUILD = """cmake -S {folder} -B {folder}/build -D TORCH="$({python} -c 'import torch; print(torch.__path__[0])')"
cmake --build {folder}/build
{folder}/build/classify {folder} {folder}/{sample}"""
HERE_ALONE = "the package was compiled for this processor and this torch: build it where it will run"


def make(order: Order, folder: Path) -> Made:
    """Write the network, compared with the eager one, and the program with all that it reads.

    Raises:
        UsageError: the network takes something else than one tensor of float32.
    """
    source = Source(order)
    (spec,) = source.tensors.values() if len(source.tensors) == 1 else (None,)
    if spec is None or (spec.dtype != "float32" and not order.with_preprocessing):
        found = ", ".join(f"{name}: {one.dtype}" for name, one in source.tensors.items())
        raise UsageError(f"{order.name}: the C++ program feeds networks of one float32 input; this one takes {found}")
    exported = source.export(order.way, folder)
    run = loaded(exported, _method(source, exported))
    made = source.compare(run, Made())
    for template in TEMPLATES.iterdir():
        shutil.copy(template, folder)
    _describe(source, exported, folder)
    _write_labels(source.network.labels, folder)
    sample = _write_sample((source.sample() or [example_inputs(source.tensors, 1)])[0], folder)
    notes = [*made.notes, *([HERE_ALONE] if order.way == "aotinductor" else [])]
    then = BUILD.format(folder="FOLDER", python=Path(sys.executable).name, sample=sample)
    return Made(made.difference, made.tolerance, made.compared_rows, notes, then)


def _method(source: Source, exported: Exported) -> str:
    """The method that is called: a script keeps the network's own, a trace has a forward alone."""
    kept = source.order.wanted.script and not source.order.with_preprocessing and exported.serialized_file.endswith(".pt")
    return source.network.method if kept or source.order.wanted.source.torchscript else "forward"


def loaded(exported: Exported, method: str) -> Any:
    """A method of TorchScript, or a package of AOTInductor, as a function of tensors."""
    path = str(exported.folder / exported.serialized_file)
    if path.endswith(".pt2"):
        return torch._inductor.aoti_load_package(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit's: deprecated since torch 2.11, works in 2.15
        return getattr(torch.jit.load(path).eval(), method)


def _describe(source: Source, exported: Exported, folder: Path) -> None:
    """What the program must know of the network, a word and its value a line."""
    (spec,) = source.tensors.values()
    options = source.order.spec.spec.options
    scores = source.order.spec.spec.handler == "image_classifier" or bool(options.get("softmax"))
    lines = {
        "file": exported.serialized_file,
        "method": _method(source, exported),
        "takes": "pixels" if source.order.with_preprocessing else "tensor",
        "shape": " ".join(map(str, spec.shape)),
        "softmax": int(scores),
        "seed": options.get("seed") or 0,
    }
    (folder / "model.txt").write_text("".join(f"{key} {value}\n" for key, value in lines.items()), encoding="utf-8")


def _write_labels(labels: Entries | None, folder: Path) -> None:
    names = [one if isinstance(one, str) else one[-1] for one in labels or []]
    (folder / "labels.txt").write_text("".join(f"{' '.join(name.split())}\n" for name in names), encoding="utf-8")


def _write_sample(inputs: Inputs, folder: Path) -> str:
    """The sample as the program reads it: a picture in the plainest of formats, or numbers."""
    (values,) = inputs
    if values.dtype != torch.uint8:
        (folder / "sample.tensor").write_bytes(values.numpy().astype("<f4").tobytes())
        return "sample.tensor"
    channels, height, width = values.shape[1:]
    kind, name = ("P6", "sample.ppm") if channels == 3 else ("P5", "sample.pgm")
    pixels = values[0].permute(1, 2, 0).contiguous().numpy().tobytes()
    (folder / name).write_bytes(f"{kind} {width} {height} 255\n".encode() + pixels)
    return name
