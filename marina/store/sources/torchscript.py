"""A TorchScript file: a network that was traced or scripted, with its attributes and its methods."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from marina.digests import file_digest
from marina.errors import UsageError
from marina.reading import nearest_of
from marina.store.index import Weights
from marina.store.sources.recognise import required_kind
from marina.store.sources.trial import try_rows
from marina.store.spec import FILE_NAME, SpecFile, Version

FREE = "trace it with an example of two rows, and without sizes that it would keep, or script it"


def load(found: SpecFile, version: Version) -> tuple[nn.Module, Weights]:
    """The network in the file, on the CPU and in evaluation mode.

    Raises:
        UsageError: it is no such file, or has no such method, or does not run on the spec's input.
    """
    named = str(version.source.torchscript)
    path, where = found.beside(named), f"{found.folder / FILE_NAME}: {named}"
    required_kind(path, where, "a TorchScript file, by torch.jit.save", "torchscript")
    module = _loaded(path, where).eval()
    method = _method(module, version.method, len(found.spec.tensors), where)
    try_rows(method, found.spec.tensors, where, FREE)
    return module, Weights(source="file", name=path.name, sha256=file_digest(path))


def _loaded(path: Path, where: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit's: deprecated since torch 2.11, works in 2.15
        try:
            import torchvision  # noqa: F401 - brings operators that a network may call

            return torch.jit.load(str(path), map_location="cpu")
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UsageError(f"{where}: torch.jit cannot load it: {reason}") from error


def _method(module: Any, name: str, inputs: int, where: str) -> Any:
    """The method that is served, if it takes the spec's inputs and needs nothing else."""
    known = list(module._c._method_names())
    if name not in known:
        raise UsageError(f"{where}: has no method '{name}': {nearest_of(name, known)}")
    arguments = module._c._get_method(name).schema.arguments[1:]
    needed = [one.name for one in arguments if not one.has_default_value()]
    if not len(needed) <= inputs <= len(arguments):
        names = ", ".join(one.name for one in arguments)
        raise UsageError(f"{where}: {name} takes {len(arguments)} inputs ({names}); the spec has {inputs}")
    return getattr(module, name)
