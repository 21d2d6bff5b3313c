"""A model repository for NVIDIA's Triton: the handler by its Python backend, or the network by ONNX Runtime's or LibTorch's."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from marina.errors import UsageError
from marina.roads import archives
from marina.roads.libtorch import loaded
from marina.roads.networks import Source
from marina.roads.order import Made, Order
from marina.store.spec import Serving, TensorSpec

TEMPLATE = Path(__file__).parent / "templates" / "triton" / "model.py"
VERSION = "1"  # Triton's versions are whole numbers: the spec's own stands in the parameters
TYPES = {torch.float32: "TYPE_FP32", torch.int64: "TYPE_INT64", torch.uint8: "TYPE_UINT8", torch.float64: "TYPE_FP64"}
NAMES = {"float32": "TYPE_FP32", "int64": "TYPE_INT64", "uint8": "TYPE_UINT8"}
Tensor = tuple[str, str, list[int], bool]  # name, type, dimensions without the rows', whether it may be left out
CONFIG = """name: "{model}"
backend: "{backend}"
max_batch_size: {rows}
{inputs}
{outputs}
dynamic_batching {{ max_queue_delay_microseconds: {delay} }}
instance_group [ {{ count: {workers} kind: KIND_CPU }} ]
parameters {{ key: "marina_version" value: {{ string_value: "{version}" }} }}
"""
UNTRIED = "no tritonserver with this backend is to be had as a wheel: its config.pbtxt was checked against Triton's schema alone"


def make(order: Order, folder: Path) -> Made:
    """Write ``<model>/config.pbtxt`` and ``<model>/1/``."""
    place = folder / order.model / VERSION
    place.mkdir(parents=True)
    return _handler(order, place) if order.way == "handler" else _network(order, place)


def _handler(order: Order, place: Path) -> Made:
    entry = archives.unpacked(order, place)
    shutil.copy(TEMPLATE, place)
    tensors = [("request", "TYPE_STRING", [1], False), ("explain", "TYPE_BOOL", [1], True)]
    answers = [("answer", "TYPE_STRING", [1], False), ("status", "TYPE_INT32", [1], False)]
    _write_config(order, place, "python", entry.serving, (tensors, answers))
    needed = ", ".join(archives.requirements(entry))
    return Made(notes=[*archives.notes(entry), f"Triton's Python must have {needed}, captum and pillow"], then=_then())


def _network(order: Order, place: Path) -> Made:
    if order.way == "torchscript" and order.wanted.script and order.wanted.method != "forward":
        reason = f"Triton's PyTorch backend calls forward, and {order.name} is a script with the method {order.wanted.method}"
        raise UsageError(f"{reason}: use --platform handler")
    source = Source(order)
    runtime, backend = ("onnx", "onnxruntime") if order.way == "onnx" else ("torchscript", "pytorch")
    exported = source.export(runtime, place)
    path = place / exported.serialized_file
    if order.way == "onnx":
        from marina.roads.onnx import Session

        session = Session(path)
        names, outputs, run = session.inputs, session.outputs, session
    else:
        run = loaded(exported, "forward")
        names, outputs = [f"input__{number}" for number in range(len(source.tensors))], []
    made = source.compare(run, Made())
    example = source.example()
    with torch.inference_mode():
        found = _listed(run(*example))
    named = outputs or [f"output__{number}" for number in range(len(found))]
    given = [(name, NAMES[spec.dtype], _free(spec), False) for name, spec in zip(names, source.tensors.values(), strict=True)]
    answered = [(name, TYPES[one.dtype], list(one.shape[1:]), False) for name, one in zip(named, found, strict=True)]
    _write_config(order, place, backend, order.spec.spec.serving, (given, answered))
    return Made(made.difference, made.tolerance, made.compared_rows, [*made.notes, UNTRIED], _then())


def _listed(outputs: Any) -> list[torch.Tensor]:
    return [outputs] if isinstance(outputs, torch.Tensor) else list(outputs)


def _free(spec: TensorSpec) -> list[int]:
    return [-1 if position in spec.free else size for position, size in enumerate(spec.shape)]


def _write_config(order: Order, place: Path, backend: str, serving: Serving, tensors: tuple[list[Tensor], list[Tensor]]) -> None:
    text = CONFIG.format(
        model=order.model,
        backend=backend,
        rows=serving.batch_size,
        delay=serving.max_batch_delay_ms * 1000,
        workers=serving.workers,
        version=order.version,
        inputs="input [ " + ", ".join(_tensor(*one) for one in tensors[0]) + " ]",
        outputs="output [ " + ", ".join(_tensor(*one) for one in tensors[1]) + " ]",
    )
    (place.parent / "config.pbtxt").write_text(text, encoding="utf-8")


def _tensor(name: str, kind: str, dimensions: list[int], optional: bool) -> str:
    sizes = ", ".join(map(str, dimensions))
    return f'{{ name: "{name}" data_type: {kind} dims: [ {sizes} ]{" optional: true" * optional} }}'


def _then() -> str:
    return "tritonserver --model-repository FOLDER"
