"""A network of torchvision by its name, with its own weights, those of a file, or random ones."""

from __future__ import annotations

from typing import cast

from torch import nn

from marina.digests import file_digest
from marina.store import torchvision_networks
from marina.store.index import Weights
from marina.store.served import check_method
from marina.store.sources.code import run_code
from marina.store.sources.network import WeightsChoice
from marina.store.sources.python import Built, construct, random_weights
from marina.store.sources.state_dict import chosen_file, digest_of_state, fill, read_state
from marina.store.spec import SpecFile, Version


def load(found: SpecFile, version: Version, choice: WeightsChoice) -> tuple[Built, Weights]:
    """The network with the chosen weights.

    Raises:
        UsageError: torchvision has no such network or weights, or the file does not fit.
        MarinaError: the weights could not be fetched.
    """
    code = torchvision_networks.source_code(cast("str", version.source.torchvision), version.source.arguments)
    module = construct(found, run_code(code, found).Network, {})
    check_method(module, version.method, len(found.spec.tensors), found.spec.name)
    if choice.random or (version.source.is_random and not choice.file):
        weights = random_weights(module, choice)
    elif choice.file or version.source.weights_file:
        weights = _load_file(module, found, version, choice)
    else:
        weights = _load_own(module, version)
    return Built(module, code), weights


def _load_file(module: nn.Module, found: SpecFile, version: Version, choice: WeightsChoice) -> Weights:
    path, where = chosen_file(found, str(version.source.weights_file), choice)
    state = torchvision_networks.for_inference(read_state(path, where, version.source))
    fill(module.get_submodule("network"), state, where)
    return Weights(source="file", name=path.name, sha256=file_digest(path), chosen=choice.file is not None)


def _load_own(module: nn.Module, version: Version) -> Weights:
    state, url = torchvision_networks.fetch_state(version.source)
    fill(module.get_submodule("network"), state, url)
    name = f"{version.source.torchvision} {version.source.weights}"
    return Weights(source="torchvision", name=name, sha256=digest_of_state(module))
