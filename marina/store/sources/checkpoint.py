"""A checkpoint of Lightning: by its LightningModule, or, without Lightning, by a plain module of the same parameters."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from marina.digests import file_digest
from marina.errors import UsageError
from marina.store.index import Weights
from marina.store.sources.network import WeightsChoice
from marina.store.sources.python import Built, build, network_class, parameters_of, random_weights, takes_any
from marina.store.sources.recognise import required_kind
from marina.store.sources.state_dict import allowed, chosen_file, fill, read_saved, state_of
from marina.store.spec import SpecFile, Version

KEYS = ("hyper_parameters", "hparams", "module_arguments")  # as Lightning names them now, and as it did before 1.0
REQUIRED = "a checkpoint of Lightning, as a Trainer writes it"


def load(found: SpecFile, version: Version, choice: WeightsChoice) -> tuple[Built, Weights]:
    """The network, built with the checkpoint's hyper-parameters and filled with its weights.

    Raises:
        UsageError: it is no checkpoint, unsafe to unpickle, or does not fit the class.
    """
    path, where = chosen_file(found, str(version.source.checkpoint), choice)
    required_kind(path, where, REQUIRED, "checkpoint")
    kind = network_class(found, version)
    known = {name: one for name, one in vars(sys.modules.get(kind.__module__, kind)).items() if isinstance(one, type)}
    content = read_saved(path, where, version.source, known)
    built = build(found, version, kind, arguments_of(content, kind) | version.source.arguments)
    if choice.random:
        return built, random_weights(built.module, choice)
    weights = Weights(source="file", name=path.name, sha256=file_digest(path), chosen=choice.file is not None)
    fill(built.module, state_of(content, where, version.source.prefix), where)
    if not hasattr(kind, "load_from_checkpoint") or version.source.prefix:
        return built, weights
    with allowed(version.source, where, known):
        return Built(_by_lightning(kind, path, where, version), built.code, built.builder), weights


def arguments_of(content: Mapping[str, Any], kind: type[nn.Module]) -> dict[str, Any]:
    """The checkpoint's hyper-parameters that a class's constructor takes; the rest, as a learning rate, is for training."""
    held: Any = next((content[key] for key in KEYS if key in content), {})
    values = dict(held) if isinstance(held, Mapping) else dict(vars(held))
    parameters, name = parameters_of(kind), content.get("hparams_name")
    if name in parameters and name not in values:  # its constructor takes them all as one
        return {str(name): held}
    return {key: value for key, value in values.items() if key in parameters or takes_any(parameters)}


def _by_lightning(kind: Any, path: Path, where: str, version: Version) -> nn.Module:
    """As Lightning loads it, with the hooks that a LightningModule may have for that."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = kind.load_from_checkpoint(path, map_location="cpu", weights_only=True, **version.source.arguments)
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise UsageError(f"{where}: Lightning cannot load it into {kind.__name__}: {reason}") from error
    if not isinstance(module, nn.Module):
        raise UsageError(f"{where}: Lightning made a {type(module).__name__} of it")
    return module
