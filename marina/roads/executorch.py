"""A .pte file: for phones and small devices, by ExecuTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from marina.errors import UsageError
from marina.roads.networks import Source
from marina.roads.order import Made, Order
from marina.store import exporters, served
from marina.store.exporters.export import exported_by_torch
from marina.store.exporters.quiet import unobserved
from marina.store.spec import FILE_NAME

FILE = "model.pte"
SEEDS = (1, 2, 3, 4, 5, 6, 7, 8)  # of inputs to compare on
ONE_ROW = "it takes one row at a time, of the sizes that the spec has"


def make(order: Order, folder: Path) -> Made:
    """Write ``model.pte``, run it by ExecuTorch's own runtime and compare it.

    Raises:
        UsageError: the network draws random numbers, or torch.export cannot take it.
    """
    changes = {"runtime": "export", "precision": "fp32", "script": False, "compile": False}
    exporters.check_version(order.wanted.model_copy(update=changes))
    source = Source(order)
    source.check_runtime("export")
    example = source.example()
    if served.draws_random_numbers(source.network.served, example):
        reason = f"{order.wanted.method} draws random numbers, which ExecuTorch draws otherwise than torch"
        raise UsageError(f"{order.spec.folder / FILE_NAME}: {reason}: use --to libtorch")
    _write(source, example, order.way == "xnnpack", folder / FILE)
    rows = [exporters.example_inputs(source.tensors, 1, seed) for seed in SEEDS]
    return source.compare(Program(folder / FILE), Made(notes=[ONE_ROW]), [*rows, *source.sample()])


def _write(source: Source, example: exporters.Inputs, delegated: bool, path: Path) -> None:
    with unobserved():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        program = source.refusing("executorch", lambda: exported_by_torch(source.network.served, example, ((),) * len(example)))
        partitioner = [XnnpackPartitioner()] if delegated else []
        lowered = to_edge_transform_and_lower(program, partitioner=partitioner).to_executorch()
    path.write_bytes(lowered.buffer)


class Program:
    """A .pte file as a function of tensors."""

    def __init__(self, path: Path) -> None:
        """Load its forward."""
        from executorch.runtime import Runtime

        self._program = Runtime.get().load_program(path)
        self._forward = self._program.load_method("forward")

    def __call__(self, *inputs: torch.Tensor) -> Any:
        """The program's output, or all of them where it has several."""
        outputs = [one.clone() for one in self._forward.execute([one.contiguous() for one in inputs])]
        return outputs[0] if len(outputs) == 1 else tuple(outputs)
