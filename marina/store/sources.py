"""Where a version's network and its weights come from."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import linecache
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, cast

import torch
from torch import nn

from marina import paths
from marina.digests import digest_of, file_digest
from marina.errors import MarinaError, UsageError
from marina.paths import Store
from marina.store import torchvision_networks
from marina.store.index import Weights
from marina.store.labels import Entries, read_labels
from marina.store.served import Served, check_method
from marina.store.spec import SpecFile, Version

SEED = 2026
LIGHTNING = "pytorch-lightning_version"  # stands in every checkpoint of a Trainer, beside its state dict
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class WeightsChoice:
    """What the person asked for on the command line; neither means the spec's own weights."""

    file: Path | None = None
    random: bool = False


@dataclass(frozen=True)
class Network:
    """A network with its weights, ready to be exported.

    Attributes:
        module: in evaluation mode, on the CPU.
        source_code: of a Python file that defines it, for eager archives.
        labels: that came with it, if any.
        method: the one of the module that is served.
    """

    module: nn.Module
    source_code: str
    weights: Weights
    labels: Entries | None
    method: str = "forward"

    @property
    def served(self) -> nn.Module:
        """The module, or one whose forward is the method that is served."""
        return self.module if self.method == "forward" else Served(self.module, self.method)


def load_network(found: SpecFile, version: str, store: Store, choice: WeightsChoice, progress: Progress) -> Network:
    """The network of a version with the chosen weights; trains or fetches them where they are missing.

    Raises:
        UsageError: the weights do not fit, or the spec names what does not exist.
        MarinaError: the weights could not be fetched.
    """
    wanted = found.spec.versions[version]
    torch.manual_seed(SEED)
    source_code = _source_code(found, wanted)
    module = _module_of(source_code, found)
    check_method(module, wanted.method, len(found.spec.tensors), found.spec.name)
    if choice.random:
        weights = Weights(source="random", name=f"seed {SEED}", sha256=_digest_of_state(module))
    elif choice.file:
        weights = _load_file(module, choice.file, wanted)
    elif wanted.source.torchvision:
        weights = _load_torchvision(module, wanted)
    else:
        weights = _load_trained(module, found, version, store, progress)
    labels = read_labels(found) or torchvision_networks.labels_of(wanted.source)
    return Network(module.eval(), source_code, weights, labels, wanted.method)


def load_module(path: Path) -> ModuleType:
    """A Python file of the spec, imported by its path; it finds ``handlerkit``, as the handler beside it does.

    So training can read its data by the very code that reads requests; nothing of marina learns to know that code.

    Raises:
        UsageError: it does not import; the message has the real reason.
    """
    name = f"_marina_spec_{path.parent.name}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path}: not a Python file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # a dataclass looks its module up there
    try:
        with _handlers_on_path():
            spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"{path}: does not import: {type(error).__name__}: {error}") from error
    return module


@contextmanager
def _handlers_on_path() -> Iterator[None]:
    folder = str(paths.HANDLERS)
    sys.path.append(folder)
    try:
        yield
    finally:
        del sys.path[-1 - sys.path[::-1].index(folder)]


def _handlerkit_files(path: Path) -> list[Path]:
    """The modules of handlerkit that a Python file imports by ``from handlerkit.… import``."""
    names = re.findall(r"^\s*from handlerkit\.(\w+) import", path.read_text(encoding="utf-8"), re.MULTILINE)
    return [file for name in names if (file := paths.HANDLERKIT / f"{name}.py").is_file()]


def _source_code(found: SpecFile, version: Version) -> str:
    if version.source.torchvision:
        return torchvision_networks.source_code(version.source.torchvision)
    return found.beside(cast("str", version.source.network)).read_text(encoding="utf-8")


def _module_of(source_code: str, found: SpecFile) -> nn.Module:
    namespace, file = ModuleType("network"), f"<network of {found.spec.name}>"
    linecache.cache[file] = (len(source_code), None, source_code.splitlines(keepends=True), file)  # torch.jit.script reads it
    try:
        exec(compile(source_code, file, "exec"), namespace.__dict__)  # noqa: S102 - the person's own network
    except ModuleNotFoundError as error:
        missing = f"{error}; install the package that has it, for example by: pip install {error.name}"
        raise UsageError(f"{found.spec.name}: the network does not import: ModuleNotFoundError: {missing}") from error
    except Exception as error:
        raise UsageError(f"{found.spec.name}: the network does not import: {type(error).__name__}: {error}") from error
    classes = [
        member
        for member in vars(namespace).values()
        if inspect.isclass(member) and issubclass(member, nn.Module) and member.__module__ == "network"
    ]
    if len(classes) != 1:
        raise UsageError(f"{found.spec.name}: the network's file must define exactly one torch.nn.Module, not {len(classes)}")
    try:
        network = classes[0]()
    except Exception as error:
        raise UsageError(f"{found.spec.name}: the network cannot be built: {type(error).__name__}: {error}") from error
    return network


def _load_file(module: nn.Module, path: Path, version: Version) -> Weights:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UsageError(f"--weights {path}: cannot be read: {error.strerror}") from error
    except Exception as error:
        reason = f"required a state dict saved by torch.save; this is none ({type(error).__name__})"
        raise UsageError(f"--weights {path}: {reason}") from error
    if isinstance(state, dict) and LIGHTNING in state:
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UsageError(f"--weights {path}: required a state dict (names and tensors), found {type(state).__name__}")
    if version.source.torchvision:
        _fill(module.get_submodule("network"), torchvision_networks.for_inference(state), f"--weights {path}")
    else:
        _fill(module, state, f"--weights {path}")
    return Weights(source="file", name=path.name, sha256=file_digest(path))


def _load_torchvision(module: nn.Module, version: Version) -> Weights:
    state, url = torchvision_networks.fetch_state(version.source)
    _fill(module.get_submodule("network"), state, url)
    name = f"{version.source.torchvision} {version.source.weights}"
    return Weights(source="torchvision", name=name, sha256=_digest_of_state(module))


def _load_trained(module: nn.Module, found: SpecFile, version: str, store: Store, progress: Progress) -> Weights:
    """Weights that an earlier build trained from the same files, else trained now; or taken from where WEIGHTS says."""
    if not found.spec.training:
        raise UsageError(f"{found.spec.name} {version}: needs --weights FILE, or 'training', which makes its weights")
    file = found.beside(found.spec.training)
    network = found.beside(cast("str", found.spec.versions[version].source.network))
    training = load_module(file)
    taken_from = [str(training.WEIGHTS)] if hasattr(training, "WEIGHTS") else []
    made_from = digest_of([*map(file_digest, (file, network, *_handlerkit_files(file))), *taken_from])[:12]
    path = store.weights / f"{found.spec.name}-{made_from}.pt"
    if not path.exists():
        training.train(module, progress)
        store.weights.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        try:
            torch.save(module.state_dict(), partial)
            partial.replace(path)
        except (OSError, RuntimeError) as error:  # torch says RuntimeError where the disk is full
            raise MarinaError(f"{path} could not be written: {' '.join(str(error).split())[:120]}") from error
        finally:
            partial.unlink(missing_ok=True)
    _fill(module, torch.load(path, map_location="cpu", weights_only=True), str(path))
    if taken_from:
        return Weights(source="pretrained", name=taken_from[0], sha256=file_digest(path))
    return Weights(source="trained", name=path.name, sha256=file_digest(path))


@dataclass(frozen=True)
class HeldOut:
    """Requests that training never saw, and how answers to them are measured.

    Attributes:
        requests: bytes that the handler takes, each with the answer that is expected: a label, or what ``measure`` takes.
        measure: of (expected, JSON of the answer) pairs, its name and its value; None compares the best label (``top1``).
    """

    requests: list[tuple[bytes, Any]]
    measure: Callable[[list[tuple[Any, Any]]], tuple[str, float]] | None = None


def held_out(found: SpecFile) -> HeldOut | None:
    """What the training file's ``held_out()`` yields, and its ``measure``, if it has one; None where there is no training."""
    if not found.spec.training:
        return None
    training = load_module(found.beside(found.spec.training))
    return HeldOut(list(training.held_out()), getattr(training, "measure", None))


def _fill(module: nn.Module, state: dict[str, torch.Tensor], where: str) -> None:
    """Load a state dict, or say what does not fit."""
    own = module.state_dict()
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own]
    if missing or unexpected:
        raise UsageError(f"{where} does not fit the network: {_first('missing', missing)}, {_first('unexpected', unexpected)}")
    for key, value in state.items():
        required, given = list(own[key].shape), list(value.shape)
        if required != given:
            raise UsageError(f"{where} does not fit the network: {key} has shape {given}, required {required}")
    module.load_state_dict(state)


def _first(what: Literal["missing", "unexpected"], keys: list[str]) -> str:
    return f"{len(keys)} keys {what}" + (f" (first: {keys[0]})" if keys else "")


def _digest_of_state(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for key, value in sorted(module.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()
