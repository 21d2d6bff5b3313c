"""A network that is loaded, and what the person chose of its weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from marina.store.index import Weights
from marina.store.labels import Entries
from marina.store.served import Served

SEED = 2026
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class WeightsChoice:
    """What the person asked for on the command line; neither means the spec's own weights."""

    file: Path | None = None
    random: bool = False


@dataclass(frozen=True)
class Network:
    """A network with its weights, ready to be exported.

    Attributes:
        module: in evaluation mode, on the CPU; of an ONNX file, one that asks ONNX Runtime.
        source_code: of a Python file that defines it, for eager archives; empty where its source holds none.
        labels: that came with it, if any.
        method: the one of the module that is served.
        builder: of a Python file that builds it without arguments from source_code, where that alone does not.
    """

    module: nn.Module
    source_code: str
    weights: Weights
    labels: Entries | None
    method: str = "forward"
    builder: str | None = None

    @property
    def served(self) -> nn.Module:
        """The module, or one whose forward is the method that is served."""
        return self.module if self.method == "forward" else Served(self.module, self.method)
