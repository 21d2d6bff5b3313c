"""How far an archive's network is from the eager one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from marina.errors import MarinaError
from marina.store.index import Parity
from marina.store.sources import Network

Pairs = list[tuple[tuple[torch.Tensor, ...], Any]]
SEED = 0  # as in preflight_worker.py


def compare(network: Network, pairs: Pairs, tolerance: float | None, lost: Sequence[str] = ()) -> Parity:
    """Compare outputs of an archive with those of the eager network on the same inputs.

    Args:
        network: the eager one, in full precision.
        pairs: inputs, and what the archive's network made of them.
        tolerance: largest absolute difference of two outputs; None allows any, but not what is no number.
        lost: what the export warned of; a difference is probably there.

    Raises:
        MarinaError: they differ by more, one of them is not a number, they have other shapes, or the eager one does not run.
    """
    with torch.inference_mode():
        differences = [_difference(run(network, inputs), outputs) for inputs, outputs in pairs]
    largest = math.nan if any(map(math.isnan, differences)) else max(differences)
    if math.isnan(largest) or (tolerance is not None and largest > tolerance):
        allowed = "" if tolerance is None else f"; the spec's tolerance is {tolerance:g}"
        why = f". The export kept one path alone of {lost[0]}: use runtime torchscript with script: true" if lost else ""
        raise MarinaError(f"the exported network differs from the eager one by {largest:g}{allowed}{why}")
    rows = sum(len(inputs[0]) for inputs, _ in pairs)
    return Parity(largest_difference=largest, tolerance=tolerance, compared_rows=rows)


def run(network: Network, inputs: tuple[torch.Tensor, ...]) -> Any:
    """The network's output; what it draws at random is what preflight drew, after the same seed.

    Raises:
        MarinaError: it does not run on these inputs.
    """
    torch.manual_seed(SEED)
    try:
        return network.served(*inputs)
    except Exception as error:  # the network is the person's own code: anything can come out of it
        shapes = [list(one.shape) for one in inputs]
        raise MarinaError(
            f"the network does not run on inputs of shape {shapes}: {' '.join(str(error).split())[:200]}"
        ) from error


def tensors(output: Any) -> Iterator[torch.Tensor]:
    """All tensors of an output, in order, whatever holds them."""
    if isinstance(output, torch.Tensor):
        yield output
    else:
        for part in output.values() if isinstance(output, dict) else output:
            yield from tensors(part)


def _difference(expected: Any, found: Any) -> float:
    ours, theirs = list(tensors(expected)), list(tensors(found))
    if [one.shape for one in ours] != [one.shape for one in theirs]:
        shapes = [list(one.shape) for one in theirs], [list(one.shape) for one in ours]
        raise MarinaError(f"the exported network's outputs have shapes {shapes[0]}, the eager one's {shapes[1]}")
    return max(float((one.float() - other.float()).abs().max()) for one, other in zip(ours, theirs, strict=True))
