"""A request made of a network's own example of its input, where the spec has no sample."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from marina.errors import UsageError
from marina.store.sources.network import Network
from marina.store.spec import FILE_NAME, Sample, SpecFile

NAME = "example_input_array.json"
HANDLER = "tensor_model"  # whose requests are a network's inputs as they are; of others, as an image, none can be made


def with_sample(found: SpecFile, network: Network, folder: Path) -> SpecFile:
    """The spec, with a sample of the network's ``example_input_array`` written into a folder where it names none.

    Raises:
        UsageError: the network has none, or the handler's requests are not tensors.
    """
    if found.spec.sample:
        return found
    where = f"{found.folder / FILE_NAME}: 'sample' is required"
    if found.spec.handler != HANDLER:
        raise UsageError(f"{where}: a request of handler {found.spec.handler} cannot be made of a network's example_input_array")
    example = getattr(network.module, "example_input_array", None)
    if example is None:
        raise UsageError(f"{where}, unless the network has an example_input_array")
    (folder / NAME).write_text(json.dumps(_request(found, example)), encoding="utf-8")
    sample = Sample(request=str(folder / NAME))
    return found.model_copy(update={"spec": found.spec.model_copy(update={"sample": sample})})


def _request(found: SpecFile, example: Any) -> dict[str, Any]:
    """The first row of the example, as tensor_model reads it."""
    named = example if isinstance(example, dict) else None
    tensors = list(named.values()) if named else list(example) if isinstance(example, (list, tuple)) else [example]
    shapes = [spec.shape for spec in found.spec.tensors.values()]
    given = [list(one.shape[1:]) if isinstance(one, torch.Tensor) else type(one).__name__ for one in tensors]
    fixed = [spec.shape for spec in found.spec.tensors.values() if not spec.free]
    if len(given) != len(shapes) or any(isinstance(one, str) for one in given) or not all(shape in given for shape in fixed):
        where = f"{found.folder / FILE_NAME}: the network's example_input_array"
        raise UsageError(f"{where} has rows of {given}, 'input' says {shapes}")
    rows = [one[0].tolist() for one in tensors]
    names = list(found.spec.options.get("inputs", found.spec.tensors))
    return {"data": rows[0]} if len(rows) == 1 else {"inputs": dict(zip(names, rows, strict=True))}
