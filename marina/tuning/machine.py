"""What was measured on: the processor, its cores, the libraries that decide how fast a network is."""

from __future__ import annotations

import math
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from marina.tuning.space import Choice

QUOTA = Path("/sys/fs/cgroup/cpu.max")
CPUINFO = Path("/proc/cpuinfo")
LIBRARIES = ("marina", "torchserve", "torch", "torchvision", "openvino", "onnxruntime", "nncf", "torchao")


class Machine(Choice):
    """A machine, as far as measurements depend on it.

    Attributes:
        memory_gb: in 2³⁰ bytes, rounded.
    """

    processor: str
    cores: int
    memory_gb: int
    platform: str
    python: str
    libraries: dict[str, str]

    def __str__(self) -> str:
        return f"{self.cores} cores of {self.processor}, {self.memory_gb} GB"


def this_machine() -> Machine:
    """The machine that this process runs on."""
    return Machine(
        processor=processor(),
        cores=cores(),
        memory_gb=round(psutil.virtual_memory().total / 2**30),
        platform=f"{platform.system().lower()}-{platform.machine()}",
        python=platform.python_version(),
        libraries={name: found for name in LIBRARIES if (found := _installed(name))},
    )


def cores() -> int:
    """Cores that a worker may use, as handlerkit counts them: affinity, less what a container's quota takes."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = QUOTA.read_text().strip().partition(" ") if QUOTA.exists() else ("max", "", "")
    return available if quota == "max" else max(1, min(available, math.ceil(int(quota) / int(period))))


def processor() -> str:
    """The processor's name, as the system has it."""
    lines = CPUINFO.read_text(encoding="utf-8").splitlines() if CPUINFO.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
