"""A package compiled by AOTInductor for the processor of this machine."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from marina.console import err
from marina.store.exporters import Exported, Free, Inputs
from marina.store.exporters.export import program_of
from marina.store.sources import Network

PROCESSOR = "processor.txt"
CPUINFO = Path("/proc/cpuinfo")


def export(network: Network, example: Inputs, free: Free, folder: Path) -> Exported:
    """Compile the program, with its weights folded in; what the processor can do is written beside it."""
    program = program_of(network, example, free)
    settings = {
        "freezing": True,
        "fallback_random": True,  # random numbers, if any, are torch's own
        "aot_inductor.enable_line_tables": False,  # they name the folders of this machine
    }
    with err.status("compiling, up to a minute"):
        torch._inductor.aoti_compile_and_package(program, package_path=str(folder / "model.pt2"), inductor_configs=settings)
    (folder / PROCESSOR).write_text("\n".join(_instructions()) + "\n")
    return Exported(folder, "model.pt2", extra_files=(PROCESSOR,))


def _instructions() -> list[str]:
    """The sets of instructions that the compiler may use here, as Linux names them."""
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", CPUINFO.read_text(), re.MULTILINE) if CPUINFO.exists() else None
    return sorted(found[1].split()) if found else []
