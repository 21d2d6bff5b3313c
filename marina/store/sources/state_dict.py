"""Weights in a file: read without running what is pickled in it, and put into a network they fit."""

from __future__ import annotations

import hashlib
import importlib
import pickle
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from marina.digests import file_digest
from marina.errors import UsageError
from marina.reading import nearest_of
from marina.store.index import Weights
from marina.store.sources.network import WeightsChoice
from marina.store.sources.recognise import LIGHTNING, STATES, required_kind
from marina.store.spec import FILE_NAME, Source, SpecFile, Version

State = dict[str, torch.Tensor]
REQUIRED = "a state dict, by torch.save or as safetensors"


def load_file(module: nn.Module, found: SpecFile, version: Version, choice: WeightsChoice) -> Weights:
    """Fill a network with the file that the command line or its source names.

    Raises:
        UsageError: there is none, it is none of weights, or it does not fit.
    """
    path, where = chosen_file(found, str(version.source.weights_file), choice)
    fill(module, read_state(path, where, version.source), where)
    return Weights(source="file", name=path.name, sha256=file_digest(path), chosen=choice.file is not None)


def chosen_file(found: SpecFile, named: str, choice: WeightsChoice) -> tuple[Path, str]:
    """The file that is read, and how messages call it."""
    if choice.file:
        return choice.file, f"--weights {choice.file}"
    return found.beside(named), f"{found.folder / FILE_NAME}: {named}"


def read_state(path: Path, where: str, source: Source) -> State:
    """The weights in a file by their keys, the source's prefix taken off.

    Raises:
        UsageError: they cannot be read, hold more than tensors, or no key has the prefix.
    """
    if required_kind(path, where, REQUIRED, *STATES) == "safetensors":
        return _without(source.prefix, _read_safetensors(path, where), where)
    return state_of(read_saved(path, where, source), where, source.prefix)


def read_saved(path: Path, where: str, source: Source, known: Mapping[str, Any] | None = None) -> Any:
    """What ``torch.save`` wrote, on the CPU; only tensors, plain values and the source's ``safe_globals`` are made of it.

    Args:
        path: a file that is there.
        where: what named it, for messages.
        source: that allows ``safe_globals``.
        known: classes of the network's own file by name, for those that a training script of the same names saved.

    Raises:
        UsageError: there is more in it, or it is damaged.
    """
    with allowed(source, where, known or {}), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise UsageError(f"{where}: {_unsafe(path, source, error)}") from error
        except OSError as error:
            raise UsageError(f"{where}: cannot be read: {error.strerror}") from error
        except Exception as error:
            reason = f"is damaged, or cut off before its end ({type(error).__name__})"
            raise UsageError(f"{where}: {reason}: fetch it again") from error


def state_of(content: Any, where: str, prefix: str | None) -> State:
    """The state dict in what was saved: the whole of it, or the one that it holds, or the one that the prefix names.

    Raises:
        UsageError: there is none, or there are several.
    """
    if _is_state(content):
        return _without(prefix, dict(content), where)
    every = content if isinstance(content, Mapping) else {}
    held = {str(key): dict(value) for key, value in every.items() if _is_state(value)}
    if LIGHTNING in every:
        held = {"state_dict": held["state_dict"]} if "state_dict" in held else {}
    named = [key for key in held if (prefix or "").startswith(f"{key}.")]
    if named:
        return _without(str(prefix)[len(named[0]) + 1 :], held[named[0]], where)
    if len(held) == 1:
        return _without(prefix, next(iter(held.values())), where)
    if held:
        several = f"holds {len(held)} state dicts ({', '.join(held)})"
        raise UsageError(f"{where}: {several}: choose one by 'prefix: {next(iter(held))}.' in its source")
    found = type(content).__name__
    if isinstance(content, Mapping):
        found = f"keys {', '.join(map(str, list(content)[:5]))}" if content else "an empty one"
    raise UsageError(f"{where}: required a state dict (names and tensors), found {found}")


def fill(module: nn.Module, state: State, where: str) -> None:
    """Load a state dict, or say what does not fit.

    Raises:
        UsageError: keys are missing or unexpected, with the prefix that would fit; or a shape is another.
    """
    own = module.state_dict()
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own]
    if missing or unexpected:
        hint = f": {instead}" if (instead := _prefix_that_fits(list(own), state)) else ""
        reason = f"{_first('missing', missing)}, {_first('unexpected', unexpected)}{hint}"
        raise UsageError(f"{where} does not fit the network: {reason}")
    for key, value in state.items():
        required, given = list(own[key].shape), list(value.shape)
        if required != given:
            reason = f"{key} has shape {given}, required {required}{_classes(required, given)}"
            raise UsageError(f"{where} does not fit the network: {reason}")
    module.load_state_dict(state)


def digest_of_state(module: nn.Module) -> str:
    """SHA-256 over a network's parameters and buffers, in hex."""
    digest = hashlib.sha256()
    for key, value in sorted(module.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _read_safetensors(path: Path, where: str) -> State:
    from safetensors import SafetensorError
    from safetensors.torch import load_file as load_safetensors

    try:
        return load_safetensors(path)
    except (SafetensorError, OSError) as error:
        raise UsageError(f"{where}: is damaged, or cut off before its end ({error}): fetch it again") from error


def allowed(source: Source, where: str, known: Mapping[str, Any]) -> AbstractContextManager[None]:
    """A context in which torch makes objects of the classes that ``safe_globals`` names.

    Raises:
        UsageError: one of them is not to be found.
    """
    context = torch.serialization.safe_globals([_imported(name, where, known) for name in source.safe_globals])
    return cast("AbstractContextManager[None]", context)


def _imported(name: str, where: str, known: Mapping[str, Any]) -> tuple[Any, str]:
    module, _, member = name.rpartition(".")
    if member in known:
        return known[member], name
    try:
        return getattr(importlib.import_module(module), member), name
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"{where}: 'safe_globals' names {name}, which does not import: {error}") from error


def _unsafe(path: Path, source: Source, error: Exception) -> str:
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:
        names = []  # files from before torch 1.6 are not looked into by torch
    if not names:
        return f"cannot be read without running code that is pickled in it ({' '.join(str(error).split())[:160]})"
    every = ", ".join(sorted([*source.safe_globals, *names]))
    why = f"to read it is to make objects of {', '.join(sorted(names))}, whose code could do anything"
    return f"{why}: where you trust the file, write 'safe_globals: [{every}]' in its source; else save it without them"


def _is_state(content: Any) -> bool:
    return (
        isinstance(content, Mapping)
        and len(content) > 0
        and all(isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in content.items())
    )


def _without(prefix: str | None, state: State, where: str) -> State:
    if not prefix:
        return state
    kept = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    if not kept:
        begin = list(dict.fromkeys(key.partition(".")[0] + "." for key in state if "." in key))[:8]
        raise UsageError(f"{where}: no key begins with the prefix '{prefix}': {nearest_of(prefix, begin)}")
    return kept


def _prefix_that_fits(own: list[str], state: State) -> str:
    """What to write where the state dict's keys are the network's behind a prefix."""
    if not own:
        return ""
    for key in state:
        prefix = key.removesuffix(own[0])
        if prefix and prefix != key and all(prefix + one in state for one in own):
            return f"with 'prefix: {prefix}' in its source it does"
    return ""


def _classes(required: list[int], given: list[int]) -> str:
    """A hint where only the first size differs, as that of a classifier's last layer does."""
    if len(required) == len(given) and required[1:] == given[1:]:
        return f"; where that is the number of classes, write 'arguments: {{num_classes: {given[0]}}}' in its source"
    return ""


def _first(what: str, keys: list[str]) -> str:
    return f"{len(keys)} keys {what}" + (f" (first: {keys[0]})" if keys else "")
