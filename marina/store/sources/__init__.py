"""Where a version's network and its weights come from: one module for each kind of source, chosen by the spec."""

from __future__ import annotations

import importlib

import torch

from marina.errors import UsageError
from marina.paths import Store
from marina.store import torchvision_networks
from marina.store.labels import read_labels
from marina.store.sources import checkpoint, python, torchvision
from marina.store.sources.code import load_module
from marina.store.sources.network import SEED, Network, Progress, WeightsChoice
from marina.store.sources.sample import NAME as SAMPLE
from marina.store.sources.sample import with_sample
from marina.store.sources.training import HeldOut, held_out
from marina.store.spec import SpecFile

__all__ = ["SAMPLE", "SEED", "HeldOut", "Network", "WeightsChoice", "held_out", "load_module", "load_network", "with_sample"]


def load_network(found: SpecFile, version: str, store: Store, choice: WeightsChoice, progress: Progress) -> Network:
    """The network of a version with the chosen weights; trains or fetches them where they are missing.

    Raises:
        UsageError: the weights do not fit, or the spec names what does not exist, or is not what the spec says it is.
        MarinaError: the weights could not be fetched.
    """
    wanted = found.spec.versions[version]
    torch.manual_seed(SEED)
    labels = read_labels(found) or torchvision_networks.labels_of(wanted.source)
    if wanted.source.whole:
        if choice.file or choice.random:
            raise UsageError(f"{found.spec.name} {version}: its {wanted.source.kind} file holds its weights: choose none")
        whole = importlib.import_module(f"marina.store.sources.{wanted.source.kind}")  # ONNX Runtime is for ONNX alone
        module, weights = whole.load(found, wanted)
        return Network(module, "", weights, labels, wanted.method)
    if wanted.source.checkpoint:
        built, weights = checkpoint.load(found, wanted, choice)
    elif wanted.source.torchvision:
        built, weights = torchvision.load(found, wanted, choice)
    else:
        built, weights = python.load(found, version, store, choice, progress)
    return Network(built.module.eval(), built.code, weights, labels, wanted.method, built.builder)
