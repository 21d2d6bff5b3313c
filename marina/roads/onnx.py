"""An ONNX file: for ONNX Runtime in any language, on a server, a phone or in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch

from marina.errors import MarinaError, UsageError
from marina.roads.networks import Source
from marina.roads.order import Made, Order
from marina.store.exporters.onnx import FILE

EXPORTERS = {"trace": "export", "dynamo": "export_by_dynamo"}


def make(order: Order, folder: Path) -> Made:
    """Write ``model.onnx``, run it by ONNX Runtime and compare it."""
    source = Source(order)
    try:
        exported = source.export("onnx", folder, EXPORTERS[order.way])
    except MarinaError as error:
        if order.way != "trace" or isinstance(error, UsageError):
            raise
        raise MarinaError(f"{error}; --exporter dynamo goes by torch.export, and can do more") from error
    return source.compare(Session(folder / exported.serialized_file), Made())


class Session:
    """An ONNX file as a function of tensors.

    Attributes:
        inputs: their names.
        outputs: likewise.
    """

    def __init__(self, path: Path) -> None:
        """Open it on the CPU."""
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.inputs = [one.name for one in self._session.get_inputs()]
        self.outputs = [one.name for one in self._session.get_outputs()]

    def __call__(self, *inputs: torch.Tensor) -> Any:
        """The file's output, or all of them where it has several."""
        named = {name: one.numpy() for name, one in zip(self.inputs, inputs, strict=True)}
        outputs = [torch.from_numpy(one) for one in self._session.run(None, named)]
        return outputs[0] if len(outputs) == 1 else tuple(outputs)


def printed(folder: Path) -> str:
    """The graph as text: inputs, weights by shape, and a line for each node."""
    return str(onnx.helper.printable_graph(onnx.load(folder / FILE, load_external_data=False).graph))
