"""A package compiled by AOTInductor for the processor of this machine."""

from __future__ import annotations

from pathlib import Path

import torch

from marina.console import err
from marina.store.exporters import Exported, Free, Inputs
from marina.store.exporters.export import program_of
from marina.store.sources import Network


def export(network: Network, example: Inputs, free: Free, folder: Path) -> Exported:
    """Compile the program, with its weights folded in."""
    program = program_of(network, example, free)
    settings = {"freezing": True, "fallback_random": True}  # random numbers, if any, are torch's own
    with err.status("compiling, up to a minute"):
        torch._inductor.aoti_compile_and_package(program, package_path=str(folder / "model.pt2"), inductor_configs=settings)
    return Exported(folder, "model.pt2")
