"""What the machine lends a worker: a device, a share of the cores, a precision."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

import torch

QUOTA = Path("/sys/fs/cgroup/cpu.max")
CPUINFO = Path("/proc/cpuinfo")
COMPILED_FOR = re.compile(r"sse|ssse|avx|amx|fma|f16c|bmi|popcnt|abm|movbe|aes|vaes|pclmul|vpclmul|sha|gfni|adx|asimd|sve|sme")
BF16 = {"avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"}  # the last is ARM's


def device(gpu_id: int | None, wanted: str | None = None) -> torch.device:
    """The device to run on: as the archive says, else the GPU that TorchServe assigned, else the CPU.

    Raises:
        ValueError: the archive wants one that this machine does not have.
    """
    if wanted is None:
        wanted = "cuda" if gpu_id is not None and torch.cuda.is_available() else "cpu"
    if wanted not in ("cpu", "cuda"):
        raise ValueError(f"device must be cpu or cuda, not {wanted!r}")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ValueError("the archive wants device cuda; this machine has none that torch can use")
    return torch.device("cpu") if wanted == "cpu" else torch.device(f"cuda:{gpu_id or 0}")


def cores() -> int:
    """Cores that this process may use: its affinity, less what a container's quota takes."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = QUOTA.read_text().strip().partition(" ") if QUOTA.exists() else ("max", "", "")
    return available if quota == "max" else max(1, min(available, math.ceil(int(quota) / int(period))))


def threads(workers: int, wanted: int | None = None) -> int:
    """Threads of one worker: as the archive says, else the cores divided by the workers.

    TorchServe never divides: N workers of torch's default take N times all cores.
    """
    return wanted or max(1, cores() // max(1, workers))


def check_bf16(where: torch.device) -> None:
    """See that bfloat16 is computed, not emulated.

    Raises:
        ValueError: this machine has no instructions for it.
    """
    able = torch.cuda.is_bf16_supported() if where.type == "cuda" else _computes_bf16()
    if not able:
        raise ValueError(f"precision bf16: this machine's {where.type} has no instructions for it; build with precision fp32")


def check_processor(needed: Path) -> None:
    """See that what was compiled for another processor runs on this one.

    Args:
        needed: file with the sets of instructions of that processor, one a line; those that a compiler uses are looked at.

    Raises:
        ValueError: this machine lacks some.
    """
    found = _instructions()
    if found is None:
        return
    missing = sorted({name for name in needed.read_text().split() if COMPILED_FOR.match(name)} - found)
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        has = f"{', '.join(missing[:3])}{more}"
        raise ValueError(
            f"the network was compiled for a processor with {has}, which this one has not: build it for this machine"
        )


def _computes_bf16() -> bool:
    """Whether torch may use bfloat16, and the processor has instructions for it: torch alone says so of AVX-512 without any."""
    found = _instructions()
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and (found is None or not BF16.isdisjoint(found))


def _instructions() -> set[str] | None:
    """The sets of instructions of this processor as Linux names them; None where it does not say."""
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", CPUINFO.read_text(), re.MULTILINE) if CPUINFO.exists() else None
    return set(found[1].split()) if found else None
