"""From a network to the files that an archive carries: one module for each runtime, chosen by the spec."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from marina.errors import MarinaError, UsageError
from marina.store import torchvision_networks
from marina.store.served import draws_random_numbers
from marina.store.sources import SEED, Network
from marina.store.spec import TensorSpec, Version

RUNTIMES = ("eager", "torchscript", "export", "aotinductor", "onnx", "openvino")
BATCHES = (1, 2, 8)
DTYPES = {"float32": torch.float32, "int64": torch.int64, "uint8": torch.uint8}
AT_LOAD = ("eager", "openvino")  # these bring the network to its precision when a worker loads it
LAID_OUT = ("eager", "torchscript", "export", "aotinductor")  # these know torch's memory formats
DRAWN = ("eager", "torchscript", "export", "aotinductor")  # these draw random numbers as torch does, after torch's seed
INT8 = ("aotinductor", "onnx", "openvino")
NO_INT8 = {
    "eager": "a state dict and Python code have no place for the ranges that were measured",
    "torchscript": "torch's quantization for it is deprecated",
    "export": "its program would round to 8 bits and compute with 32, more slowly than without",
}
Inputs = tuple[torch.Tensor, ...]
Free = tuple[tuple[int, ...], ...]  # for each input, its dimensions whose size may vary; 0, the rows, is always one


@dataclass(frozen=True)
class Exported:
    """Files of an exported network, in one folder, and their names as a manifest has them."""

    folder: Path
    serialized_file: str
    model_file: str | None = None
    extra_files: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()  # what the export may have lost, and where


def export_network(  # noqa: PLR0913 - what is exported, how, and by what
    network: Network,
    version: Version,
    tensors: dict[str, TensorSpec],
    folder: Path,
    calibration: Sequence[Inputs] = (),
    *,
    exporter: str | None = None,
) -> Exported:
    """Export a network for a version's runtime into an empty folder.

    Args:
        network: with its weights, on the CPU.
        version: says for which runtime and how.
        tensors: the network's inputs.
        folder: to write to.
        calibration: with precision int8, inputs that the network will see, each of shape [rows, …].
        exporter: function of the runtime's module in place of ``export``, where it has another.

    Raises:
        UsageError: the runtime cannot do what the version asks, or a part of the network is not on the CPU.
        MarinaError: the network does not run on the spec's input, or the exporter refuses it.
    """
    check_version(version)
    check_place(network.module.cpu())
    module, example = _prepared(network.module, version, example_inputs(tensors, 2))
    free = tuple((0, *(position + 1 for position in spec.free)) for spec in tensors.values())
    exporters = importlib.import_module(f"marina.store.exporters.{version.runtime}")
    shapes = [list(one.shape) for one in example]
    try:
        with torch.no_grad():
            prepared = replace(network, module=module)
            _check_random(version, draws_random_numbers(prepared.served, example))
            made: Exported
            if version.precision == "int8":
                made = exporters.quantize(prepared, example, free, folder, calibration)
            else:
                export = getattr(exporters, exporter or ("script" if version.script else "export"))
                made = export(prepared, example, free, folder)
    except UsageError:
        raise
    except Exception as error:  # the network is the person's own code: anything can come out of it
        reason = " ".join(str(error).split())[:300]
        raise MarinaError(
            f"the network cannot be exported to {version.runtime} with inputs of shape {shapes}: {reason}"
        ) from error
    return made


def example_inputs(tensors: dict[str, TensorSpec], rows: int, seed: int = SEED) -> Inputs:
    """Inputs of the shapes and types that the spec names: standard normal, or whole numbers from 0 to below ``high``."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(_example(spec, rows, generator) for spec in tensors.values())


def generated_inputs(tensors: dict[str, TensorSpec]) -> list[Inputs]:
    """Inputs to compare two networks on: several batch sizes, and other sizes where they are free; the same each time."""
    varied = [example_inputs(smaller, 2) for smaller in _smaller(tensors)]
    return [example_inputs(tensors, rows, SEED + rows) for rows in BATCHES] + varied


def _smaller(tensors: dict[str, TensorSpec]) -> list[dict[str, TensorSpec]]:
    """The inputs with all their free sizes smaller; of one input each free size alone, too.

    An exporter may hold on to a relation of the example's sizes, as that an image is no wider than high.
    """
    every = {position for spec in tensors.values() for position in spec.free}
    alone = [{position} for position in sorted(every)] if len(tensors) == 1 and len(every) > 1 else []
    return [{name: _shrunk(spec, chosen) for name, spec in tensors.items()} for chosen in (every, *alone) if chosen]


def _shrunk(spec: TensorSpec, chosen: set[int]) -> TensorSpec:
    free = chosen.intersection(spec.free)
    shape = [max(1, size * 3 // 4) if position in free else size for position, size in enumerate(spec.shape)]
    return spec.model_copy(update={"shape": shape})


def _example(spec: TensorSpec, rows: int, generator: torch.Generator) -> torch.Tensor:
    if spec.dtype == "float32":
        return torch.randn(rows, *spec.shape, generator=generator)
    return torch.randint(0, spec.high, (rows, *spec.shape), generator=generator, dtype=DTYPES[spec.dtype])


def check_version(version: Version) -> None:
    """See that a version's runtime can do what the version asks.

    Raises:
        UsageError: it cannot: the reason, and what can.
    """
    runtime = version.runtime
    if version.precision == "int8" and runtime in NO_INT8:
        raise UsageError(f"runtime {runtime}: no int8: {NO_INT8[runtime]}; use one of {', '.join(INT8)}")
    if version.precision == "int8" and version.device == "cuda":
        raise UsageError("precision int8: is for CPUs; leave device: cuda out, or use precision bf16")
    if version.precision == "bf16" and runtime == "onnx":
        raise UsageError("runtime onnx: ONNX Runtime has no bf16 on CPUs; use precision fp32, or runtime openvino")
    if version.channels_last and runtime not in LAID_OUT:
        raise UsageError(f"runtime {runtime}: chooses its own layout; leave channels_last out")
    if version.script and runtime != "torchscript":
        raise UsageError(f"runtime {runtime}: script goes with runtime torchscript")
    if version.compile and runtime != "eager":
        raise UsageError(f"runtime {runtime}: compile goes with runtime eager; aotinductor compiles at build")
    torchvision_networks.check_runtime(version)


def check_place(module: nn.Module) -> None:
    """See that what a network merely holds, and ``.cpu()`` does not move with its weights, lies on the CPU.

    Raises:
        UsageError: one does not; it is named.
    """
    for path, part in module.named_modules():
        for name, value in vars(part).items():
            if isinstance(value, torch.Tensor) and value.device.type != "cpu":
                where = f"{path}.{name}" if path else name
                advice = "make it without a device, by self.register_buffer, and leave the device to the worker"
                raise UsageError(f"the network's {where} lies on {value.device}, and exports start from the CPU: {advice}")


def _check_random(version: Version, draws: bool) -> None:
    """Refuse to ship dropout that would not be there, or could not be compared."""
    if draws and version.runtime not in DRAWN:
        reason = f"{version.method} draws random numbers, and this runtime silently leaves dropout out"
        raise UsageError(f"runtime {version.runtime}: {reason}; use one of {', '.join(DRAWN)}")
    if draws and version.compile:
        raise UsageError(f"compile: {version.method} draws random numbers, and torch.compile draws others; leave compile out")


def _prepared(module: nn.Module, version: Version, example: Inputs) -> tuple[nn.Module, Inputs]:
    """The module, and inputs, in the precision and the layout that are exported."""
    if version.precision == "bf16" and version.runtime not in AT_LOAD:
        module = copy.deepcopy(module).to(torch.bfloat16)
        example = tuple(one.to(torch.bfloat16) if one.is_floating_point() else one for one in example)
    if version.channels_last and version.runtime not in AT_LOAD:
        module = copy.deepcopy(module).to(memory_format=torch.channels_last)
        example = tuple(one.contiguous(memory_format=torch.channels_last) if one.ndim == 4 else one for one in example)
    return module, example
