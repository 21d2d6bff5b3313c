"""A program of ``torch.export``, ``.pt2``."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram
from torch.jit._trace import TracerWarning

from marina.digests import file_digest
from marina.errors import UsageError
from marina.store.index import Weights
from marina.store.sources.recognise import required_kind
from marina.store.sources.trial import try_rows
from marina.store.spec import FILE_NAME, SpecFile, Version

FREE = "export it again, with dynamic_shapes that leave the first size of each input free, from an example of two rows"


class Program(nn.Module):
    """An exported program as a module; its mode is the one it was exported in.

    Attributes:
        program: as it was loaded.
    """

    def __init__(self, program: ExportedProgram) -> None:
        super().__init__()
        self.program = program
        self.network = program.module()
        for part in self.modules():
            part.training = False  # which torch.jit asks for, and a program lets nobody set by eval()

    def forward(self, *inputs: torch.Tensor) -> Any:
        """What the program makes of the inputs."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TracerWarning)  # a trace leaves out the program's checks of sizes, and no more
            return self.network(*inputs)

    def train(self, mode: bool = True) -> Program:
        """Nothing: a program cannot change its mode."""
        return self


def load(found: SpecFile, version: Version) -> tuple[nn.Module, Weights]:
    """The program in the file.

    Raises:
        UsageError: it is no such file, or does not run on the spec's input.
    """
    named = str(version.source.export)
    path, where = found.beside(named), f"{found.folder / FILE_NAME}: {named}"
    required_kind(path, where, "a torch.export program, by torch.export.save", "export")
    try:
        program = torch.export.load(path)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"{where}: torch.export cannot load it: {type(error).__name__}: {reason}") from error
    takes, inputs = program.graph_signature.user_inputs, len(found.spec.tensors)
    if len(takes) != inputs:
        raise UsageError(f"{where}: takes {len(takes)} inputs ({', '.join(map(str, takes))}); the spec has {inputs}")
    module = Program(program)
    try_rows(module, found.spec.tensors, where, FREE)
    return module, Weights(source="file", name=path.name, sha256=file_digest(path))
