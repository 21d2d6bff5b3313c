"""Train the docstrings' network on what installed libraries say of themselves, on a fixed split from a fixed seed.

The data are the docstrings of numpy, scipy, sklearn and torch as they are installed, read from their files, which are not
imported. The libraries' names are masked. A file's docstrings are all in one part of the split.
"""

from __future__ import annotations

import ast
import importlib.util
import random
import re
import warnings
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import torch
from handlerkit.tokens import split_tokens, token_ids
from torch import nn

SEED = 2026
LIBRARIES = ("numpy", "scipy", "sklearn", "torch")
NAMES = ("numpy", "scipy", "sklearn", "scikit", "torch")
ALIASES = ("np", "sp")
MASK = "library"
NOT_READ = {"tests", "testing", "externals", "_vendor", "array_api_compat"}  # other libraries' copies, and tests
SHORTEST = 12  # words
LENGTH, BUCKETS = 128, 8192  # as in model.yaml
MOST = {True: 1500, False: 150}  # docstrings of a library: to train on, and held out
HELD_OUT = 5  # one file in so many
EPOCHS = 12
ROWS = 64
DROPPED = 0.4  # of the tokens, anew in each epoch: no single word decides
WEIGHT_DECAY = 0.3  # with DROPPED the best of six settings, by a fifth of the training files that was kept from training


def train(network: nn.Module, progress: Callable[[int, int], None]) -> None:
    """Fit ``network`` to the training docstrings.

    Args:
        network: takes token ids of shape [rows, LENGTH], gives scores of shape [rows, 4].
        progress: told the epochs done and the epochs in all.
    """
    texts = split()[0]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small a network waits for its threads: on busy cores ten times as long
    ids = torch.tensor([token_ids(split_tokens(text, LENGTH), LENGTH, BUCKETS) for text, _ in texts])
    labels = torch.tensor([LIBRARIES.index(library) for _, library in texts])
    generator = torch.Generator().manual_seed(SEED)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3, weight_decay=WEIGHT_DECAY)
    network.train()
    for epoch in range(EPOCHS):
        for rows in torch.randperm(len(ids), generator=generator).split(ROWS):
            kept = torch.rand(ids[rows].shape, generator=generator) >= DROPPED
            loss = nn.functional.cross_entropy(network(ids[rows] * kept), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        progress(epoch + 1, EPOCHS)
    torch.set_num_threads(threads)
    network.eval()


def held_out() -> Iterator[tuple[bytes, str]]:
    """Docstrings of files that training never sees, as text, each with its library."""
    for text, library in split()[1]:
        yield text.encode(), library


@cache
def split() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Training docstrings and held-out ones, each with its library; none is in both, or of two libraries."""
    seen: set[str] = set()
    parts: tuple[list[tuple[str, str]], list[tuple[str, str]]] = ([], [])
    for library in LIBRARIES:
        found = _docstrings(library, seen)
        for part, training in zip(parts, (True, False), strict=True):
            part += [(text, library) for text in found[training]]
    return parts


def _docstrings(library: str, seen: set[str]) -> dict[bool, list[str]]:
    """Docstrings of a library that were not seen before, for training (True) and held out, until there are enough."""
    found: dict[bool, list[str]] = {True: [], False: []}
    for name, path in _files(library):
        training = zlib.crc32(name.encode()) % HELD_OUT != 0
        if len(found[training]) < MOST[training]:
            texts = dict.fromkeys(_masked(text) for text in _read(path))
            new = [text for text in texts if len(text.split()) >= SHORTEST and text not in seen]
            found[training] += new[: MOST[training] - len(found[training])]
            seen.update(new)
    return found


def _files(library: str) -> list[tuple[str, Path]]:
    """Names and paths of a library's Python files, in an order that depends on the seed alone."""
    spec = importlib.util.find_spec(library)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{library} is not installed")
    root = Path(spec.submodule_search_locations[0])
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.py"))
    random.Random(SEED).shuffle(names)  # noqa: S311 - no secret
    return [(f"{library}/{name}", root / name) for name in names if not NOT_READ & set(name.split("/"))]


def _read(path: Path) -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # escapes that Python no longer likes
        tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield ast.get_docstring(node) or ""


def _masked(text: str) -> str:
    """The text without words that are, or contain, a library's name."""
    return re.sub(r"\w+", lambda word: MASK if _is_name(word.group().lower()) else word.group(), text)


def _is_name(word: str) -> bool:
    return word in ALIASES or any(name in word for name in NAMES)
