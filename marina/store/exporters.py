"""From a network to the files that an archive carries: one function for each runtime, one parity check for all."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.jit._trace import TracerWarning

from marina.console import step
from marina.errors import MarinaError
from marina.store.index import Parity
from marina.store.sources import SEED, Network

SERIALIZED = "model.pt"
NETWORK = "network.py"
BATCHES = (1, 2, 8)


@dataclass(frozen=True)
class Exported:
    """Files of an exported network, in one folder, and their names as a manifest has them."""

    folder: Path
    serialized_file: str
    model_file: str | None = None

    def manifest(self) -> dict[str, dict[str, str | None]]:
        """The part of a manifest that a runtime reads."""
        return {"model": {"serializedFile": self.serialized_file, "modelFile": self.model_file}}


def export_torchscript(network: Network, example: torch.Tensor, folder: Path) -> Exported:
    """Trace the network; what the trace may have lost is said."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")  # also torch.jit's: deprecated since torch 2.11, works in 2.15
        traced = torch.jit.trace(network.module, example)
        torch.jit.save(traced, str(folder / SERIALIZED))
    for warning in warned:
        if issubclass(warning.category, TracerWarning):
            step(f"warning: line {warning.lineno} of the network: {str(warning.message).splitlines()[0]}")
    return Exported(folder, SERIALIZED)


def export_eager(network: Network, _example: torch.Tensor, folder: Path) -> Exported:
    """Write the state dict, and the code beside it."""
    torch.save(network.module.state_dict(), folder / SERIALIZED)
    (folder / NETWORK).write_text(network.source_code, encoding="utf-8")
    return Exported(folder, SERIALIZED, NETWORK)


EXPORTERS: dict[str, Callable[[Network, torch.Tensor, Path], Exported]] = {
    "torchscript": export_torchscript,
    "eager": export_eager,
}


def export(network: Network, runtime: str, input_shape: list[int], folder: Path) -> Exported:
    """Export a network for a runtime into an empty folder.

    Raises:
        MarinaError: the network does not run on the spec's input shape, or the exporter refuses it.
    """
    example = torch.zeros(2, *input_shape)
    try:
        with torch.no_grad():
            network.module(example)
            return EXPORTERS[runtime](network, example, folder)
    except Exception as error:  # the network is the person's own code: anything can come out of it
        reason, shape = " ".join(str(error).split())[:300], list(example.shape)
        raise MarinaError(f"the network cannot be exported to {runtime} with inputs of shape {shape}: {reason}") from error


def generated_inputs(input_shape: list[int]) -> list[torch.Tensor]:
    """Inputs to compare two networks on: standard normal, several batch sizes, the same each time."""
    generator = torch.Generator().manual_seed(SEED)
    return [torch.randn(rows, *input_shape, generator=generator) for rows in BATCHES]


def compare(network: Network, pairs: list[tuple[torch.Tensor, torch.Tensor]], tolerance: float) -> Parity:
    """Compare outputs of an archive with those of the eager network on the same inputs.

    Args:
        network: the eager one.
        pairs: inputs, and what the archive's network made of them.
        tolerance: largest absolute difference of two outputs.

    Raises:
        MarinaError: they differ by more, or one of them is not a number.
    """
    with torch.inference_mode():
        differences = [float((network.module(inputs) - outputs).abs().max()) for inputs, outputs in pairs]
    largest = math.nan if any(map(math.isnan, differences)) else max(differences)
    if not largest <= tolerance:
        difference = f"{largest:g}; the spec's tolerance is {tolerance:g}"
        raise MarinaError(f"the exported network differs from the eager one by {difference}")
    return Parity(largest_difference=largest, tolerance=tolerance, compared_rows=sum(len(inputs) for inputs, _ in pairs))
