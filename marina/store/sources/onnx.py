"""An ONNX file, with the external data beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch
from torch import nn

from marina.digests import file_digest
from marina.errors import UsageError
from marina.store.external_data import external_files
from marina.store.index import Weights
from marina.store.sources.recognise import required_kind
from marina.store.sources.trial import try_rows
from marina.store.spec import FILE_NAME, SpecFile, TensorSpec, Version

FREE = "export it again with the first size of each input free, by dynamic_axes or dynamic_shapes"
TYPES = {"float32": "tensor(float)", "int64": "tensor(int64)", "uint8": "tensor(uint8)"}


class OnnxFile(nn.Module):
    """An ONNX file as a module, run by ONNX Runtime; the reference of what is made of it.

    Attributes:
        path: of the file as it came.
        names: of its inputs, in the spec's order.
    """

    def __init__(self, path: Path, session: Any, names: list[str]) -> None:
        super().__init__()
        self.path = path
        self.names = names
        self._session = session

    def forward(self, *inputs: torch.Tensor) -> Any:
        """The outputs, as tensors."""
        named = {name: one.cpu().numpy() for name, one in zip(self.names, inputs, strict=True)}
        outputs = [torch.from_numpy(one) for one in self._session.run(None, named)]
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def write(self, path: Path) -> None:
        """Write it as one file, external data included, its inputs in the spec's order."""
        model = onnx.load(self.path)
        by_name = {one.name: one for one in model.graph.input}
        rest = [one for one in model.graph.input if one.name not in self.names]  # weights that old exporters list as inputs
        ordered = [by_name[name] for name in self.names] + rest
        del model.graph.input[:]
        model.graph.input.extend(ordered)
        onnx.save(model, path)


def load(found: SpecFile, version: Version) -> tuple[nn.Module, Weights]:
    """The network in the file, checked by ``onnx.checker``.

    Raises:
        UsageError: it is no such file, its external data are missing, or it does not run on the spec's input.
    """
    named = str(version.source.onnx)
    path, where = found.beside(named), f"{found.folder / FILE_NAME}: {named}"
    required_kind(path, where, "an ONNX file", "onnx")
    _check(path, where)
    try:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        reason = " ".join(str(error).split())[-200:]  # before it stands where in its own code
        raise UsageError(f"{where}: ONNX Runtime cannot load it: …{reason}") from error
    module = OnnxFile(path, session, _names(session.get_inputs(), found.spec.tensors, where))
    _check_outputs(session.get_outputs(), where)
    try_rows(module, found.spec.tensors, where, FREE)
    return module, Weights(source="file", name=path.name, sha256=file_digest(path))


def _check(path: Path, where: str) -> None:
    missing = [one.name for one in external_files(path) if not one.is_file()]
    if missing:
        raise UsageError(f"{where}: its tensors are in {', '.join(missing)}, which must lie beside it and does not")
    try:
        onnx.checker.check_model(str(path))
    except onnx.checker.ValidationError as error:
        raise UsageError(f"{where}: onnx.checker refuses it: {' '.join(str(error).split())[:240]}") from error


def _names(inputs: list[Any], tensors: dict[str, TensorSpec], where: str) -> list[str]:
    """The file's inputs in the spec's order: by name, or, where there is one alone, whatever it is called."""
    found = {one.name: one for one in inputs}
    if len(found) != len(tensors) or (len(tensors) > 1 and set(found) != set(tensors)):
        names = f"its inputs are {', '.join(found)}; the spec's are {', '.join(tensors)}"
        raise UsageError(f"{where}: {names}: name them alike in 'input'")
    ordered = list(tensors) if len(tensors) > 1 else list(found)
    for name, tensor in zip(ordered, tensors.values(), strict=True):
        if found[name].type != TYPES[tensor.dtype]:
            types = f"its input {name} is {found[name].type}; the spec's input is {tensor.dtype}"
            raise UsageError(f"{where}: {types}: see 'dtype' in 'input'")
    return ordered


def _check_outputs(outputs: list[Any], where: str) -> None:
    for one in outputs:
        if not one.type.startswith("tensor("):
            hint = "; of scikit-learn, convert with options={'zipmap': False}" if "map" in one.type else ""
            raise UsageError(f"{where}: its output {one.name} is {one.type}; required are tensors{hint}")
