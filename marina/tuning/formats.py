"""Which formats a version's network can have, and the spec that has them all as versions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from marina.errors import UsageError
from marina.store.spec import SpecFile, Version
from marina.tuning.space import Format

LIKELIEST = (  # to be fast, by benchmarks/README.md; where there is no time to build all, the last are left out
    ("openvino", "int8"),
    ("openvino", "bf16"),
    ("torchscript", "bf16"),
    ("openvino", "fp32"),
    ("onnx", "int8"),
    ("aotinductor", "int8"),
    ("aotinductor", "bf16"),
    ("torchscript", "fp32"),
    ("onnx", "fp32"),
    ("aotinductor", "fp32"),
    ("export", "bf16"),
    ("eager", "bf16"),
    ("export", "fp32"),
    ("eager", "fp32"),
)
RUNTIMES = tuple(dict.fromkeys(runtime for runtime, _ in LIKELIEST))
PRECISIONS = ("fp32", "bf16", "int8")
IMAGE = 3  # dimensions of one


def format_of(version: Version) -> Format:
    """How a version of a spec is run."""
    return Format(runtime=version.runtime, precision=version.precision, channels_last=version.channels_last)


def possible_formats(found: SpecFile, version: str, runtimes: Iterable[str], precisions: Iterable[str]) -> tuple[Format, ...]:
    """The formats that a version's network can have, its own first, then the likeliest to be fast.

    Images are laid out with their channels last wherever that can be chosen, as that is faster on most CPUs.

    Args:
        found: its spec.
        version: its name.
        runtimes: that may be chosen.
        precisions: that may be chosen.
    """
    given = format_of(found.version(version))
    wanted = set(runtimes), set(precisions)
    named = [one for one in LIKELIEST if one[0] in wanted[0] and one[1] in wanted[1]]
    laid_out = [_laid_out(found, *one) for one in named]
    return tuple(dict.fromkeys([given, *(how for how in laid_out if _is_possible(found, version, how))]))


def versions_by_format(found: SpecFile, version: str, formats: Iterable[Format]) -> SpecFile:
    """The spec with a version for each format, by the format's name, made of the given one."""
    versions = {how.name: version_as(found, version, how) for how in formats}
    return found.model_copy(update={"spec": found.spec.model_copy(update={"versions": versions})})


def version_as(found: SpecFile, version: str, how: Format) -> Version:
    """A version in another format; as it is where that is its own. Threads are left to the layout.

    Raises:
        ValidationError: the network's source cannot be had so.
    """
    given = found.version(version)
    if how == format_of(given):
        return given.model_copy(update={"threads": None})
    said: dict[str, Any] = given.model_dump(by_alias=True, exclude_unset=True)
    dropped = ("compile", "threads", "script", *["tolerance"] * (how.precision != given.precision))
    said = {key: value for key, value in said.items() if key not in dropped}
    changes = {"runtime": how.runtime, "precision": how.precision, "channels_last": how.channels_last}
    return Version.model_validate(said | changes)


def _laid_out(found: SpecFile, runtime: str, precision: str) -> Format:
    from marina.store.exporters import LAID_OUT

    is_image = [len(spec.shape) for spec in found.spec.tensors.values()] == [IMAGE]
    return Format(runtime=runtime, precision=precision, channels_last=runtime in LAID_OUT and is_image)


def _is_possible(found: SpecFile, version: str, how: Format) -> bool:
    from marina.store.exporters import check_version

    try:
        check_version(version_as(found, version, how))
    except (UsageError, ValidationError):
        return False
    return True
