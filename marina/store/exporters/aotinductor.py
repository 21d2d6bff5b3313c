"""A package compiled by AOTInductor for the processor of this machine."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.export import ExportedProgram

from marina.console import err
from marina.store.exporters import Exported, Free, Inputs
from marina.store.exporters.export import exported_by_torch, program_of
from marina.store.exporters.quiet import unobserved
from marina.store.sources import Network

PROCESSOR = "processor.txt"
CPUINFO = Path("/proc/cpuinfo")


def export(network: Network, example: Inputs, free: Free, folder: Path) -> Exported:
    """Compile the program, with its weights folded in; what the processor can do is written beside it."""
    return _compiled(program_of(network, example, free), folder)


def quantize(network: Network, example: Inputs, free: Free, folder: Path, calibration: Sequence[Inputs]) -> Exported:
    """Compile it in int8, by torchao's quantizer for this compiler; workers need no torchao."""
    with unobserved():
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
        from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

        overflows = not torch.cpu._is_vnni_supported()
        settings = x86.get_default_x86_inductor_quantization_config(reduce_range=overflows)
        quantizer = x86.X86InductorQuantizer().set_global(settings)
        watched = prepare_pt2e(program_of(network, example, free).module(), quantizer)
        for inputs in calibration:
            watched(*inputs)
        return _compiled(exported_by_torch(convert_pt2e(watched), example, free), folder)


def _compiled(program: ExportedProgram, folder: Path) -> Exported:
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
