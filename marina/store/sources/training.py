"""A spec's training file: the weights that it makes, and the requests that it holds out."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from marina import paths
from marina.digests import digest_of, file_digest
from marina.errors import MarinaError, UsageError
from marina.paths import Store
from marina.store.index import Weights
from marina.store.sources.code import load_module
from marina.store.sources.network import Progress
from marina.store.sources.state_dict import fill
from marina.store.spec import SpecFile


def load_trained(module: nn.Module, found: SpecFile, version: str, store: Store, progress: Progress) -> Weights:
    """Weights that an earlier build trained from the same files, else trained now; or taken from where WEIGHTS says."""
    wanted = found.spec.versions[version].source
    if not found.spec.training:
        instead = "'weights: FILE' in its source, or --weights FILE, or 'training', which makes them"
        raise UsageError(f"{found.spec.name} {version}: its network has no weights: give {instead}")
    file = found.beside(found.spec.training)
    training = load_module(file)
    taken_from = [str(training.WEIGHTS)] if hasattr(training, "WEIGHTS") else []
    files = (file, found.beside(cast("str", wanted.network)), *_handlerkit_files(file))
    built_by = [f"{wanted.class_} {wanted.arguments}"] if wanted.class_ or wanted.arguments else []
    made_from = digest_of([*map(file_digest, files), *taken_from, *built_by])[:12]
    path = store.weights / f"{found.spec.name}-{made_from}.pt"
    if not path.exists():
        with _of_the_person(file, "train()"):
            training.train(module, progress)
        _keep(module, path)
    fill(module, torch.load(path, map_location="cpu", weights_only=True), str(path))
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
    file = found.beside(found.spec.training)
    training = load_module(file)
    with _of_the_person(file, "held_out()"):
        requests = list(training.held_out())
    return HeldOut(requests, getattr(training, "measure", None))


@contextmanager
def _of_the_person(file: Path, what: str) -> Iterator[None]:
    """Tell in one line what the person's own code raises."""
    try:
        yield
    except MarinaError:
        raise
    except Exception as error:
        raise UsageError(f"{file}: {what} fails: {type(error).__name__}: {error}") from error


def _keep(module: nn.Module, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        torch.save(module.state_dict(), partial)
        partial.replace(path)
    except (OSError, RuntimeError) as error:  # torch says RuntimeError where the disk is full
        raise MarinaError(f"{path} could not be written: {' '.join(str(error).split())[:120]}") from error
    finally:
        partial.unlink(missing_ok=True)


def _handlerkit_files(path: Path) -> list[Path]:
    """The modules of handlerkit that a Python file imports by ``from handlerkit.… import``."""
    names = re.findall(r"^\s*from handlerkit\.(\w+) import", path.read_text(encoding="utf-8"), re.MULTILINE)
    return [file for name in names if (file := paths.HANDLERKIT / f"{name}.py").is_file()]
